package reqinfo

// Request is what hooks for metrics and traces get of a request. It has no path: a path may contain the key of a mailed link.
type Request struct {
	Operation string // the operationId; "" if openapi.yaml has no such path
	Route     string // the path in openapi.yaml, such as /u/{confirmationKey}
	Method    string // of the operation
}
