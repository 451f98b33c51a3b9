// Walks the journey of a user with the Kotlin client of openapi-generator.

import java.net.URI
import java.time.Duration
import java.time.OffsetDateTime
import java.util.UUID
import org.openapitools.client.apis.AuthorizationApi
import org.openapitools.client.apis.ServiceApi
import org.openapitools.client.apis.SessionApi
import org.openapitools.client.apis.UserApi
import org.openapitools.client.infrastructure.ClientError
import org.openapitools.client.infrastructure.ClientException
import org.openapitools.client.infrastructure.Serializer
import org.openapitools.client.models.AccessTokenResponse
import org.openapitools.client.models.CommonFailure401
import org.openapitools.client.models.ConfirmationResponsePurpose
import org.openapitools.client.models.CreateAccessTokenFailure404
import org.openapitools.client.models.CreateAccessTokenFailure404Message
import org.openapitools.client.models.CreateAccessTokenRequest
import org.openapitools.client.models.Device
import org.openapitools.client.models.JWKKty
import org.openapitools.client.models.RefreshAccessTokenFailure404
import org.openapitools.client.models.RefreshAccessTokenFailure404Message
import org.openapitools.client.models.RefreshAccessTokenRequest
import org.openapitools.client.models.RevokeRefreshTokenRequest
import org.openapitools.client.models.SignUpFailure400
import org.openapitools.client.models.SignUpFailure404
import org.openapitools.client.models.SignUpFailure404Message
import org.openapitools.client.models.SignUpFailure409
import org.openapitools.client.models.SignUpFailure409Message
import org.openapitools.client.models.SignUpRequest

val url: String = System.getenv("AUTH_URL")
val authorization = AuthorizationApi(url)
val users = UserApi(url)

fun newID(): String = UUID.randomUUID().toString()

/** Returns the typed body of a failure. */
inline fun <reified T> failure(status: Int, call: () -> Unit): T {
    try {
        call()
    } catch (e: ClientException) {
        check(e.statusCode == status) { "status ${e.statusCode}, want $status" }
        val body = (e.response as ClientError<*>).body as String
        return checkNotNull(Serializer.moshi.adapter(T::class.java).fromJson(body))
    }
    error("no failure $status")
}

/** Waits for what a user reads in a mail. */
fun inbox(what: String, email: String): String = URI("${System.getenv("INBOX")}/$what?to=$email").toURL().readText().trim()

fun signUp(email: String, code: String) = users.signup(newID(), SignUpRequest(email, code, "en"))

/** Signs up, with failures first, and returns the password. */
fun join(email: String): String {
    val code = System.getenv("AUTH_INVITE")
    val unknown = failure<SignUpFailure404>(404) { signUp(email, "no-such-code") }
    check(unknown.message == SignUpFailure404Message.INVITE_NOT_FOUND)
    val malformed = failure<SignUpFailure400>(400) { signUp("nobody@localhost", code) }
    check(malformed.parameters == listOf("email")) { malformed }
    signUp(email, code)
    val conflict = failure<SignUpFailure409>(409) { signUp(email, code) }
    when (conflict.message) {
        SignUpFailure409Message.USER_ALREADY_EXIST -> {}
        SignUpFailure409Message.INVITE_HAS_ENDED -> error("the invite code has ended")
    }

    val (key, rid) = inbox("link", email).split(" ")
    val confirmed = users.confirmUserEmail(key, rid)
    check(confirmed.purpose == ConfirmationResponsePurpose.signup && confirmed.message.isNotEmpty())
    return inbox("password", email)
}

fun attempt(email: String, password: String): AccessTokenResponse =
    authorization.createAccessToken(newID(), CreateAccessTokenRequest(email, password, "kotlin_v1", Device()))

/** Logs in, after an attempt with a wrong password. */
fun login(email: String, password: String): AccessTokenResponse {
    val wrong = failure<CreateAccessTokenFailure404>(404) { attempt(email, "wrong") }
    check(wrong.message == CreateAccessTokenFailure404Message.USER_NOT_FOUND)
    return attempt(email, password)
}

fun main() {
    val email = "kotlin-${newID()}@example.com"
    check(ServiceApi(url).getVersion(newID()).number.isNotEmpty())
    val tokens = login(email, join(email))
    val sessions = SessionApi(url).apply { accessTokenProvider = { tokens.accessToken } }

    val session = sessions.getListActiveSessions(newID()).single()
    check(session.current && session.sessionID == tokens.sessionID)
    check(Duration.between(session.createdAt, OffsetDateTime.now()).abs() < Duration.ofHours(1))
    val verified = AuthorizationApi(url).apply { accessTokenProvider = { tokens.accessToken } }.verifyAccessTokenWithHttpInfo(null)
    check(verified.headers["x-auth-session-id"] == listOf(tokens.sessionID))

    val renewed = authorization.refreshAccessToken(newID(), RefreshAccessTokenRequest(tokens.refreshToken))
    check(renewed.sessionID == tokens.sessionID && renewed.refreshToken != tokens.refreshToken)

    val stranger = SessionApi(url).apply { accessTokenProvider = { "bad" } }
    check(failure<CommonFailure401>(401) { stranger.getListActiveSessions(newID()) }.code == 401L)

    sessions.revokeRefreshToken(newID(), RevokeRefreshTokenRequest(tokens.sessionID))
    sessions.revokeSession(tokens.sessionID)
    val ended = failure<RefreshAccessTokenFailure404>(404) {
        authorization.refreshAccessToken(newID(), RefreshAccessTokenRequest(renewed.refreshToken))
    }
    check(ended.message == RefreshAccessTokenFailure404Message.USER_NOT_FOUND)

    check(ServiceApi(url).getJwks().propertyKeys.first().kty == JWKKty.EC)
}
