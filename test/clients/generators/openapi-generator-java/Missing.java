import org.openapitools.client.model.SignUpFailure409;

/** A 409 may also have the code INVITE_HAS_ENDED: this does not compile. */
final class Missing {
    private Missing() {
    }

    static String missing(SignUpFailure409 failure) {
        return switch (failure.getMessage()) {
            case USER_ALREADY_EXIST -> "documented";
        };
    }
}
