import org.openapitools.client.models.SignUpFailure409
import org.openapitools.client.models.SignUpFailure409Message

/** A 409 may also have the code INVITE_HAS_ENDED: this does not compile. */
fun missing(failure: SignUpFailure409): String = when (failure.message) {
    SignUpFailure409Message.USER_ALREADY_EXIST -> "documented"
}
