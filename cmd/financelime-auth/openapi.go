package main

import "github.com/financelime/authorization"

type openAPI struct{}

// Run prints openapi.yaml.
func (openAPI) Run(c console) error {
	_, err := c.out.Write(authorization.Spec())
	return err
}
