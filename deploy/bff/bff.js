// The backend for frontend of server.mjs for nginx, in the JavaScript of njs (0.7.9 or newer). docs/browsers.md explains it.
//
// It has no memory between requests, so each request becomes one at the service. The page must refresh in one tab at a time: session.mjs.
const cookieOf = (r, token) =>
    `__Host-refresh=${token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${token ? r.variables.bff_session_seconds : 0}`;
const failure = (code, message) => ({ status: code, body: { code: code, message: message } });

// hasEnded reports whether the service refused the refresh token for good. After every other failure the session may still exist.
const hasEnded = (answer) => (answer.status === 404 && answer.body.message === 'USER_NOT_FOUND')
    || (answer.status === 400 && (answer.body.parameters || []).includes('refreshToken'));

function parse(text) {
    try {
        return Object(JSON.parse(text));
    } catch (e) {
        return {};
    }
}

// call sends a request to the service. No response, or one that is not the service's but a gateway's, is 503: try again.
async function call(r, method, path, body, authorization) {
    r.variables.bff_authorization = authorization || '';
    const reply = await r.subrequest('/_financelime_bff' + path, { method: method, body: body });
    if (method === 'DELETE' && reply.status === 204) {
        return { status: 204 };
    }
    const parsed = parse(reply.responseText);
    if (reply.status === 200 ? parsed.refreshToken : parsed.code === reply.status) {
        return { status: reply.status, body: parsed, retryAfter: reply.headersOut['Retry-After'] };
    }
    r.error(`${method} at the service, request-id ${r.variables.bff_request_id}: ${reply.status}, not from the service`);
    return Object.assign(failure(503, '503 Service Unavailable'), { retryAfter: '1' });
}

const refresh = (r, token) => call(r, 'PUT', '/v1/oauth/refresh', JSON.stringify({ refreshToken: token }));

// end ends the session of a refresh token at the service.
async function end(r, token) {
    const answer = await refresh(r, token);
    if (answer.status !== 200) {
        return hasEnded(answer) ? { status: 204 } : answer;
    }
    return call(r, 'DELETE', `/v1/session/${answer.body.sessionID}`, '', `Bearer ${answer.body.accessToken}`);
}

// logIn forwards a request whose 200 begins a session. A 403 has the ticket for the second factor: it is no token.
const logIn = (path) => async (r, token) => {
    const answer = await call(r, 'POST', path, r.requestText || '');
    if (answer.status === 200) {
        if (token) {
            await end(r, token); // the session that the new cookie replaces
        }
        answer.cookie = cookieOf(r, answer.body.refreshToken);
    }
    return answer;
};

const operations = {
    'login': logIn('/v1/oauth/create'),
    'second-factor': logIn('/v1/oauth/second_factor'),
    'passkey': logIn('/v1/oauth/passkey'),
    refresh: async (r, token) => {
        const answer = token ? await refresh(r, token) : failure(404, 'USER_NOT_FOUND'); // as if the session had ended
        if (answer.status === 200) {
            answer.cookie = cookieOf(r, answer.body.refreshToken);
        } else if (hasEnded(answer)) {
            answer.cookie = cookieOf(r, '');
        }
        return answer;
    },
    password: async (r) => { // with the access token of the page, whose session goes on with other tokens
        const answer = await call(r, 'PUT', '/v1/user/password', r.requestText || '', r.headersIn.Authorization);
        if (answer.status === 200) {
            answer.cookie = cookieOf(r, answer.body.refreshToken);
        }
        return answer;
    },
    logout: async (r, token) => {
        const answer = token ? await end(r, token) : { status: 204 };
        return Object.assign(answer, { cookie: cookieOf(r, '') }); // also if the service does not respond
    },
};

// refusal returns why a request is not served: server.mjs explains the checks. nginx checks the size.
function refusal(r) {
    if (r.method !== 'POST') {
        return failure(405, '405 Method Not Allowed');
    }
    if (r.headersIn.Origin !== r.variables.bff_origin || (r.headersIn['Sec-Fetch-Site'] || 'same-origin') !== 'same-origin') {
        return failure(403, '403 Forbidden');
    }
    if (!/^application\/json\s*(;|$)/i.test(r.headersIn['Content-Type'] || '')) {
        return failure(415, '415 Unsupported Media Type');
    }
    return undefined;
}

async function handle(r) {
    r.variables.bff_request_id = r.headersIn['request-id'] || r.variables.request_id;
    const found = /(?:^|;\s*)__Host-refresh=([^;]+)/.exec(r.headersIn.Cookie || '');
    const answer = refusal(r) || await operations[r.variables.bff_operation](r, found && found[1]);
    if (answer.body) {
        delete answer.body.refreshToken; // the page gets everything but the refresh token
    }
    const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', 'request-id': r.variables.bff_request_id,
        'Retry-After': answer.retryAfter, 'Set-Cookie': answer.cookie, 'Allow': answer.status === 405 ? 'POST' : undefined };
    Object.keys(headers).filter((name) => headers[name]).forEach((name) => { r.headersOut[name] = headers[name]; });
    r.return(answer.status, answer.body ? JSON.stringify(answer.body) : '');
}

export default { handle };
