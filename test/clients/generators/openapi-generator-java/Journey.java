import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AuthorizationApi;
import org.openapitools.client.api.ServiceApi;
import org.openapitools.client.api.SessionApi;
import org.openapitools.client.api.UserApi;
import org.openapitools.client.model.AccessTokenResponse;
import org.openapitools.client.model.CommonFailure401;
import org.openapitools.client.model.ConfirmationResponse;
import org.openapitools.client.model.ConfirmationResponsePurpose;
import org.openapitools.client.model.CreateAccessTokenFailure404;
import org.openapitools.client.model.CreateAccessTokenFailure404Message;
import org.openapitools.client.model.CreateAccessTokenRequest;
import org.openapitools.client.model.Device;
import org.openapitools.client.model.JWK;
import org.openapitools.client.model.JWKKty;
import org.openapitools.client.model.RefreshAccessTokenFailure404;
import org.openapitools.client.model.RefreshAccessTokenFailure404Message;
import org.openapitools.client.model.RefreshAccessTokenRequest;
import org.openapitools.client.model.RevokeRefreshTokenRequest;
import org.openapitools.client.model.Session;
import org.openapitools.client.model.SignUpFailure400;
import org.openapitools.client.model.SignUpFailure404;
import org.openapitools.client.model.SignUpFailure404Message;
import org.openapitools.client.model.SignUpFailure409;
import org.openapitools.client.model.SignUpRequest;

/** Walks the journey of a user with the Java client of openapi-generator. */
public final class Journey {
    private static final ApiClient API = client();

    private Journey() {
    }

    /** A call of an operation. */
    private interface Call {
        void run() throws ApiException;
    }

    /** A parser of a failure's body. */
    private interface Parser<T> {
        T parse(String body) throws java.io.IOException;
    }

    public static void main(String[] args) throws Exception {
        String email = "java-" + newID() + "@example.com";
        require(!new ServiceApi(API).getVersion(newID()).getNumber().isEmpty(), "a version");
        AccessTokenResponse tokens = login(email, join(email));
        ApiClient mine = client();
        mine.setBearerToken(tokens.getAccessToken());
        SessionApi sessions = new SessionApi(mine);

        List<Session> list = sessions.getListActiveSessions(newID());
        require(list.size() == 1 && list.get(0).getCurrent() && list.get(0).getSessionID().equals(tokens.getSessionID()), "one session");
        Duration age = Duration.between(list.get(0).getCreatedAt(), OffsetDateTime.now());
        require(age.abs().toMinutes() < 60, "the time of the login");
        List<String> ids = new AuthorizationApi(mine).verifyAccessTokenWithHttpInfo(null).getHeaders().get("x-auth-session-id");
        require(ids.equals(List.of(tokens.getSessionID())), "the session's ID");

        AccessTokenResponse renewed = refresh(tokens);
        require(renewed.getSessionID().equals(tokens.getSessionID()), "the same session");
        require(!renewed.getRefreshToken().equals(tokens.getRefreshToken()), "a new token");

        ApiClient stranger = client();
        stranger.setBearerToken("bad");
        failure(401, CommonFailure401::fromJson, () -> new SessionApi(stranger).getListActiveSessions(newID()));

        sessions.revokeRefreshToken(newID(), new RevokeRefreshTokenRequest().sessionID(tokens.getSessionID()));
        sessions.revokeSession(tokens.getSessionID(), null);
        RefreshAccessTokenFailure404 ended = failure(404, RefreshAccessTokenFailure404::fromJson, () -> refresh(renewed));
        require(ended.getMessage() == RefreshAccessTokenFailure404Message.USER_NOT_FOUND, "the session has ended");

        JWK key = new ServiceApi(API).getJwks(null, null).getKeys().get(0);
        require(key.getKty() == JWKKty.EC, "an EC key");
    }

    /** Signs up, with failures first, and returns the password. */
    private static String join(String email) throws Exception {
        String code = System.getenv("AUTH_INVITE");
        SignUpFailure404 unknown = failure(404, SignUpFailure404::fromJson, () -> signUp(email, "no-such-code"));
        require(unknown.getMessage() == SignUpFailure404Message.INVITE_NOT_FOUND, "an unknown code");
        SignUpFailure400 malformed = failure(400, SignUpFailure400::fromJson, () -> signUp("nobody@localhost", code));
        require(List.of("email").equals(malformed.getParameters()), "the parameter `email` is named");
        signUp(email, code);
        SignUpFailure409 conflict = failure(409, SignUpFailure409::fromJson, () -> signUp(email, code));
        boolean exists = switch (conflict.getMessage()) {
            case USER_ALREADY_EXIST -> true;
            case INVITE_HAS_ENDED -> false;
        };
        require(exists, "the address is taken");

        String[] link = inbox("link", email).split(" ");
        ConfirmationResponse confirmed = new UserApi(API).confirmUserEmail(link[0], link[1]);
        require(confirmed.getPurpose() == ConfirmationResponsePurpose.SIGNUP && !confirmed.getMessage().isEmpty(), "a typed confirmation");
        return inbox("password", email);
    }

    private static void signUp(String email, String code) throws ApiException {
        new UserApi(API).signup(newID(), new SignUpRequest().email(email).inviteCode(code).language("en"));
    }

    /** Logs in, after an attempt with a wrong password. */
    private static AccessTokenResponse login(String email, String password) throws Exception {
        CreateAccessTokenFailure404 wrong = failure(404, CreateAccessTokenFailure404::fromJson, () -> attempt(email, "wrong"));
        require(wrong.getMessage() == CreateAccessTokenFailure404Message.USER_NOT_FOUND, "a wrong password");
        return attempt(email, password);
    }

    private static AccessTokenResponse attempt(String email, String password) throws ApiException {
        CreateAccessTokenRequest request =
            new CreateAccessTokenRequest().email(email).password(password).clientID("java_v1").device(new Device());
        return new AuthorizationApi(API).createAccessToken(newID(), request);
    }

    private static AccessTokenResponse refresh(AccessTokenResponse tokens) throws ApiException {
        RefreshAccessTokenRequest request = new RefreshAccessTokenRequest().refreshToken(tokens.getRefreshToken());
        return new AuthorizationApi(API).refreshAccessToken(newID(), request);
    }

    private static ApiClient client() {
        ApiClient client = new ApiClient();
        client.setBasePath(System.getenv("AUTH_URL"));
        return client;
    }

    private static String newID() {
        return UUID.randomUUID().toString();
    }

    /** Returns the typed body of a failure. */
    private static <T> T failure(int status, Parser<T> parser, Call call) throws Exception {
        try {
            call.run();
        } catch (ApiException e) {
            require(e.getCode() == status, "status " + status + ", got " + e.getCode() + " " + e.getMessage());
            return parser.parse(e.getResponseBody());
        }
        throw new AssertionError("no failure " + status);
    }

    /** Waits for what a user reads in a mail. */
    private static String inbox(String what, String email) throws Exception {
        URI uri = URI.create(System.getenv("INBOX") + "/" + what + "?to=" + email);
        HttpResponse<String> response =
            HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
        require(response.statusCode() == 200, response.body());
        return response.body().strip();
    }

    private static void require(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError("want: " + what);
        }
    }
}
