import org.openapitools.client.model.SignUpFailure409;

/** A 409 has no code INVITE_NOT_FOUND: this does not compile. */
final class Wrong {
    private Wrong() {
    }

    static String wrong(SignUpFailure409 failure) {
        return switch (failure.getMessage()) {
            case USER_ALREADY_EXIST, INVITE_HAS_ENDED ->
                "documented";
            case INVITE_NOT_FOUND ->
                "of another status";
        };
    }
}
