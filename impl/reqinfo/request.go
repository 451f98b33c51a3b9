package reqinfo

// Request is what the hooks for metrics and traces get. It does not contain the path, because a path may contain the key of a mailed link.
type Request struct {
	Operation string // the operationId; "" if openapi.yaml has no such path
	Route     string // the path in openapi.yaml, such as /u/{confirmationKey}
	Method    string // of the operation
}
