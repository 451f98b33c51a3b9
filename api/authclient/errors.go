package authclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/financelime/authorization/api/client"
)

// ErrLoggedOut means that there is no session: nobody has logged in, the user has logged out, or the service has ended the session. The user
// has to log in.
var ErrLoggedOut = errors.New("logged out")

// Code is the reason of a failure: the `message` of the contract. It is an error, so errors.Is compares a failure with it:
//
//	errors.Is(err, authclient.ErrInviteNotFound)
//
// If a response did not come from the service, for example a gateway's HTML page, its code is the HTTP status as text: "502 Bad Gateway".
type Code string //nolint:errname // the contract calls it a code, and Error has the rest of a failure

// Error returns the code as it is in the contract.
func (c Code) Error() string { return string(c) }

// The codes of the contract.
const (
	ErrBadParameters    = Code(client.CommonFailure400MessageBADPARAMETERS)             // 400: Error.Parameters has the names of what is wrong
	ErrInviteNotFound   = Code(client.SignUpFailure404MessageINVITENOTFOUND)            // 404: the invite code is unknown or has expired
	ErrInviteHasEnded   = Code(client.SignUpFailure409MessageINVITEHASENDED)            // 409: the invite code has no use left
	ErrUserAlreadyExist = Code(client.SignUpFailure409MessageUSERALREADYEXIST)          // 409: the address is taken, or an earlier sign-up succeeded
	ErrUserNotFound     = Code(client.CreateAccessTokenFailure404MessageUSERNOTFOUND)   // 404: wrong address or password; on a refresh: the session has ended
	ErrUnauthorized     = Code(client.CommonFailure401MessageN401Unauthorized)          // 401: the access token is missing or has expired
	ErrNotFound         = Code(client.CommonFailureMessageN404NotFound)                 // 404: there is no such operation: is the base URL correct?
	ErrMethodNotAllowed = Code(client.CommonFailure405MessageN405MethodNotAllowed)      // 405: a defect of the client
	ErrRequestTooLarge  = Code(client.CommonFailure413MessageN413RequestEntityTooLarge) // 413: the body has more than 16 KiB
	ErrTooManyRequests  = Code(client.CommonFailure429MessageN429TooManyRequests)       // 429: wait for Error.RetryAfter

	ErrWrongPassword                = Code(client.ChangeUserPasswordFailure403MessageWRONGPASSWORD)                // 403: the current password is wrong
	ErrRecentAuthenticationRequired = Code(client.ChangeUserPasswordFailure403MessageRECENTAUTHENTICATIONREQUIRED) // 403: the user must authenticate again
	ErrPasswordTooShort             = Code(client.ChangeUserPasswordFailure422MessagePASSWORDTOOSHORT)             // 422: the new password is too short
	ErrPasswordKnown                = Code(client.ChangeUserPasswordFailure422MessagePASSWORDKNOWN)                // 422: it is in a list of known passwords
	ErrPasswordGuessable            = Code(client.ChangeUserPasswordFailure422MessagePASSWORDGUESSABLE)            // 422: it is easy to guess
	ErrPasswordUnchanged            = Code(client.ChangeUserPasswordFailure422MessagePASSWORDUNCHANGED)            // 422: it is the current one
	ErrEmailTaken                   = Code(client.RequestEmailChangeFailure409MessageEMAILTAKEN)                   // 409: another user has the new address, or can return to it
	ErrEmailUnchanged               = Code(client.RequestEmailChangeFailure409MessageEMAILUNCHANGED)               // 409: it is the user's address

	ErrAuthenticationFailed = Code(client.StepUpSessionFailure403MessageAUTHENTICATIONFAILED) // 403: the password with which the user authenticates again is wrong
	ErrSecondFactorRequired = Code(client.StepUpSessionFailure403MessageSECONDFACTORREQUIRED) // 403: a password is not enough

	ErrWrongCode           = Code(client.SecondFactorFailure403MessageWRONGCODE)             // 403: the second factor is wrong, or was used already
	ErrLoginExpired        = Code(client.SecondFactorFailure404MessageLOGINEXPIRED)          // 404: the ticket has expired: log in again
	ErrTOTPNotBegun        = Code(client.ConfirmTOTPFailure409MessageTOTPNOTBEGUN)           // 409: there is no secret to confirm
	ErrLastFactor          = Code(client.RemovePasskeyFailure409MessageLASTFACTOR)           // 409: the second factor is on and needs it
	ErrNoFactor            = Code(client.TurnOnSecondFactorFailure409MessageNOFACTOR)        // 409: the user has nothing that can be a second factor
	ErrAlreadyOn           = Code(client.TurnOnSecondFactorFailure409MessageALREADYON)       // 409: the second factor is on
	ErrSecondFactorOff     = Code(client.RenewRecoveryCodesFailure409MessageSECONDFACTOROFF) // 409: without a second factor there are no recovery codes
	ErrTooManyPasskeys     = Code(client.AddPasskeyFailure409MessageTOOMANYPASSKEYS)         // 409: the user has 20
	ErrPasskeyAlreadyAdded = Code(client.AddPasskeyFailure409MessagePASSKEYALREADYADDED)     // 409: it is one of the user's, or of another user's
	ErrCeremonyExpired     = Code(client.AddPasskeyFailure409MessageCEREMONYEXPIRED)         // 409: begin again

	ErrInternal    = Code(client.CommonFailureMessageN500InternalServerError)   // 500: a defect of the service
	ErrUnavailable = Code(client.CommonFailure503MessageN503ServiceUnavailable) // 503, after all attempts: wait for Error.RetryAfter
)

// Error is a response that is not a success.
type Error struct {
	Op         string        // what was tried, such as "log in"
	Status     int           // the HTTP status
	Code       Code          // the reason
	Parameters []string      // with ErrBadParameters: the names of what was wrong, such as "language" or "request-id"
	RequestID  string        // the ID by which the operator finds the request in the log
	RetryAfter time.Duration // with 429 and 503: how long to wait; 0 if the response does not say it
}

// Error describes the failure in one line: "log in: 404 USER_NOT_FOUND (request 4f7c1f1e)".
func (e *Error) Error() string {
	var text strings.Builder
	if e.Op != "" {
		text.WriteString(e.Op + ": ")
	}
	if status := strconv.Itoa(e.Status); !strings.HasPrefix(string(e.Code), status) {
		text.WriteString(status + " ")
	}
	text.WriteString(string(e.Code))
	if len(e.Parameters) > 0 {
		text.WriteString(" " + strings.Join(e.Parameters, ", "))
	}
	if e.RequestID != "" {
		text.WriteString(" (request " + e.RequestID + ")")
	}
	return text.String()
}

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// names reports whether the failure is a 400 of the service that names a parameter.
func (e *Error) names(parameter string) bool {
	return e.Code == ErrBadParameters && slices.Contains(e.Parameters, parameter)
}

// maxBody is more than the service ever sends.
const maxBody = 1 << 20

// newError reads a response that is not a success.
func newError(op string, response *http.Response) *Error {
	wait, _ := retryAfter(response)
	e := &Error{
		Op:         op,
		Status:     response.StatusCode,
		Code:       Code(strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode)))),
		RequestID:  response.Header.Get("request-id"),
		RetryAfter: wait,
	}
	if e.RequestID == "" && response.Request != nil { // a gateway's own response
		e.RequestID = response.Request.Header.Get("request-id")
	}
	if media, _, err := mime.ParseMediaType(response.Header.Get("content-type")); err != nil || media != "application/json" {
		return e
	}
	var body struct {
		Code       int      `json:"code"`
		Message    Code     `json:"message"`
		Parameters []string `json:"parameters"`
	}
	// A body of another form is not the service's: the status is all that is known.
	err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&body)
	if err == nil && body.Code == response.StatusCode && body.Message != "" {
		e.Code, e.Parameters = body.Message, body.Parameters
	}
	return e
}

// retryAfter returns the time in the header Retry-After, if it has one: seconds from the service, and seconds or a date from a gateway. The date
// is compared with the gateway's clock, if the response has its time.
func retryAfter(response *http.Response) (wait time.Duration, ok bool) {
	value := response.Header.Get("retry-after")
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(response.Header.Get("date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, date.Sub(now)), true
}

// receive returns the body of a response with the wanted status, and an *Error for any other status. It takes the results of a call.
func receive[Body any](op string, want int, response *http.Response, err error) (body Body, _ error) {
	if _, isFailure := errors.AsType[*Error](err); isFailure {
		return body, err
	}
	if err != nil {
		return body, fmt.Errorf("%s: %w", op, err)
	}
	defer response.Body.Close()
	if response.StatusCode != want {
		return body, newError(op, response)
	}
	if want == http.StatusNoContent {
		return body, nil
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&body); err != nil {
		return body, fmt.Errorf("%s: read the response: %w", op, err)
	}
	return body, nil
}

// receiveTokens is receive for the operations that return tokens.
func receiveTokens(op string, response *http.Response, err error) (Tokens, error) {
	tokens, err := receive[Tokens](op, http.StatusOK, response, err)
	if err == nil && (tokens.SessionID == "" || tokens.AccessToken == "" || tokens.RefreshToken == "") {
		return Tokens{}, fmt.Errorf("%s: the response has no tokens: is it from the service?", op)
	}
	return tokens, err
}

// none is the body of a response without one.
type none struct{}
