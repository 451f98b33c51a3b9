package caller

// Request is what those may know of a request who watch the service. There is no path in it: a path may hold the key of a
// mailed link.
type Request struct {
	Operation string // the operationId; "" where openapi.yaml has no such path
	Route     string // the path in openapi.yaml: /u/{confirmationKey}
	Method    string // of the operation
}
