import org.openapitools.client.models.SignUpFailure409
import org.openapitools.client.models.SignUpFailure409Message

/** A 409 has no code INVITE_NOT_FOUND: this does not compile. */
fun wrong(failure: SignUpFailure409): String = when (failure.message) {
    SignUpFailure409Message.USER_ALREADY_EXIST, SignUpFailure409Message.INVITE_HAS_ENDED -> "documented"
    SignUpFailure409Message.INVITE_NOT_FOUND -> "of another status"
}
