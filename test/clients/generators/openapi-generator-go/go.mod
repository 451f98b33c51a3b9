// The client that openapi-generator makes is in generated/, which the script walk makes: no other module is needed.
module walk

go 1.26
