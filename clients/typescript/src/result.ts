// Results of operations: data, or a failure that the compiler distinguishes.
import { RefreshError } from "./refresh-error.js";
import { retryAfter } from "./retry.js";
import type { Body, components, FailureStatus, Message, OperationName, SuccessStatus } from "./contract.js";

/** The operations that return a `Result`. */
export type ResultOperation = OperationName & keyof typeof failures;

/** The result of an operation. */
export type Result<Operation extends ResultOperation> =
  | { ok: true; data: Body<Operation, SuccessStatus<Operation>> }
  | { ok: false; failure: Failure<Operation> };

/** Why an operation failed. `status` distinguishes the members; within a status, `message` distinguishes the reasons. */
export type Failure<Operation extends ResultOperation> =
  | { [Status in FailureStatus<Operation>]: ServiceFailure<Status, Message<Operation, Status>> & More<Operation, Status> }[FailureStatus<Operation>]
  | UndocumentedFailure
  | NetworkFailure;

/** What a failure has besides its reason: that of a login has what completes the login. */
type More<Operation, Status> = [Operation, Status] extends ["create_access_token", 403] ? SecondFactorRequired : unknown;

/** How to complete a login whose password was right. */
export type SecondFactorRequired = Pick<components["schemas"]["CreateAccessTokenFailure403"], "ticket" | "methods" | "passkey">;

/** A failure that openapi.yaml documents. */
export interface ServiceFailure<Status extends number, Message extends string> extends ResponseDetails {
  /** The HTTP status. */
  status: Status;
  /** The reason. */
  message: Message;
}

/** A response that is not the service's: the error page of a gateway, a captive portal. Also a code of a newer version. */
export interface UndocumentedFailure extends ResponseDetails {
  status: "undocumented";
  message: "UNDOCUMENTED";
  /** The HTTP status; 0 if it is not known. */
  httpStatus: number;
}

/** No response: no network, no TLS, a request that the browser has blocked (CORS), or one that took too long. */
export interface NetworkFailure {
  status: "network";
  message: "NETWORK";
  /** What `fetch` threw. */
  cause: unknown;
}

/** Details of a response that failed. */
export interface ResponseDetails {
  /** The request ID, with which an operator finds the request in the log. Show it to the user for 500. */
  requestID: string | undefined;
  /** After how many seconds the request may be repeated. 429 and 503 have it. */
  retryAfter: number | undefined;
  /** For 400: the names of the parameters that were wrong, such as `email` or `device.width`. Otherwise empty. */
  parameters: readonly string[];
}

// The documented messages, by operation and status. The compiler compares them with openapi.yaml; at run time they decide whether a
// response is documented, so that an unknown code cannot enter a `switch`.
const everywhere = {
  405: { "405 Method Not Allowed": 1 },
  413: { "413 Request Entity Too Large": 1 },
  500: { "500 Internal Server Error": 1 },
  503: { "503 Service Unavailable": 1 },
} as const;
const limited = { 429: { "429 Too Many Requests": 1 } } as const;
const authorized = { 401: { "401 Unauthorized": 1 } } as const;
const badParameters = { 400: { BAD_PARAMETERS: 1 } } as const;
const userNotFound = { 404: { USER_NOT_FOUND: 1 } } as const;
const notFound = { 404: { "404 Not Found": 1 } } as const;
const recent = { 403: { RECENT_AUTHENTICATION_REQUIRED: 1 } } as const;
const failures = {
  signup: {
    ...everywhere, ...limited, ...badParameters,
    404: { INVITE_NOT_FOUND: 1 },
    409: { USER_ALREADY_EXIST: 1, INVITE_HAS_ENDED: 1 },
  },
  user_password_reset: { ...everywhere, ...limited, ...badParameters, ...userNotFound },
  create_access_token: { ...everywhere, ...limited, ...badParameters, ...userNotFound, 403: { SECOND_FACTOR_REQUIRED: 1 } },
  create_access_token_by_second_factor: { ...everywhere, ...limited, ...badParameters, 403: { WRONG_CODE: 1 }, 404: { LOG_IN_EXPIRED: 1 } },
  begin_passkey_log_in: { // without a database, so without 503
    405: everywhere[405], 413: everywhere[413], 500: everywhere[500], ...badParameters, ...notFound,
  },
  create_access_token_by_passkey: { ...everywhere, ...limited, ...badParameters, ...userNotFound },
  begin_passkey: { ...everywhere, ...badParameters, ...authorized, ...recent, ...notFound, 409: { TOO_MANY_PASSKEYS: 1 } },
  add_passkey: {
    ...everywhere, ...badParameters, ...authorized, ...recent, ...notFound,
    409: { TOO_MANY_PASSKEYS: 1, PASSKEY_ALREADY_ADDED: 1, CEREMONY_EXPIRED: 1 },
  },
  refresh_access_token: { ...everywhere, ...badParameters, ...userNotFound },
  get_list_active_sessions: { ...everywhere, ...badParameters, ...authorized },
  revoke_session: { ...everywhere, ...badParameters, ...authorized },
  change_user_password: {
    ...everywhere, ...limited, ...badParameters, ...authorized,
    403: { WRONG_PASSWORD: 1, RECENT_AUTHENTICATION_REQUIRED: 1 },
    422: { PASSWORD_TOO_SHORT: 1, PASSWORD_KNOWN: 1, PASSWORD_GUESSABLE: 1, PASSWORD_UNCHANGED: 1 },
  },
  step_up_session: { ...everywhere, ...limited, ...badParameters, ...authorized, 403: { AUTHENTICATION_FAILED: 1, SECOND_FACTOR_REQUIRED: 1 } },
  delete_user: { ...everywhere, ...badParameters, ...authorized, ...recent },
} as const satisfies { [Operation in OperationName]?: { [Status in FailureStatus<Operation>]: Record<Message<Operation, Status>, 1> } };

/**
 * Converts the outcome of a call to a result. isData validates the body of a 200: a captive portal also responds with 200. Without
 * it, success is 204. A call that the caller aborted is rejected.
 */
export async function toResult<Operation extends ResultOperation>(
  operation: Operation,
  call: Promise<{ data?: unknown; error?: unknown; response: Response }>,
  signal?: AbortSignal,
  isData?: (data: unknown) => boolean,
): Promise<Result<Operation>> {
  try {
    const { data, error, response } = await call;
    const isSuccess = isData ? response.ok && isData(data) : response.status === 204;
    return isSuccess ? ({ ok: true, data } as Result<Operation>) : failed(toFailure(operation, response, error));
  } catch (cause) {
    if (signal?.aborted) {
      throw cause;
    }
    return failed(
      cause instanceof RefreshError
        ? cause.failure
        : cause instanceof SyntaxError
          ? undocumented(0, { requestID: undefined, retryAfter: undefined, parameters: [] })
          : { status: "network", message: "NETWORK", cause },
    );
  }
  function failed(failure: unknown) {
    return { ok: false, failure } as Result<Operation>;
  }
}

function toFailure(operation: ResultOperation, response: Response, body: unknown): unknown {
  const { status, headers } = response;
  const { code: _, message, parameters, ...more } = (body ?? {}) as { code?: unknown; message: string; parameters?: unknown };
  const details: ResponseDetails = {
    requestID: headers.get("request-id") ?? undefined,
    retryAfter: retryAfter(response),
    parameters: Array.isArray(parameters) ? (parameters as string[]) : [],
  };
  const known: Record<string, 1> = (failures[operation] as Record<number, Record<string, 1>>)[status] ?? {};
  // A shared failure has no other information than its status, so it may also come from a gateway, with any body.
  const reason = Object.hasOwn(known, message) ? message : Object.keys(known).find((m) => m.startsWith(`${status} `));
  return reason ? { ...(reason === message && more), status, message: reason, ...details } : undocumented(status, details);
}

function undocumented(httpStatus: number, details: ResponseDetails): UndocumentedFailure {
  return { status: "undocumented", message: "UNDOCUMENTED", httpStatus, ...details };
}
