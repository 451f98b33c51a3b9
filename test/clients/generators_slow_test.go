//go:build clients && clients_all

package clients

import "testing"

// TestSlowGenerators does the same as TestGenerators with the generators that have a file `slow`: `make test-clients-all`.
func TestSlowGenerators(t *testing.T) {
	t.Parallel()
	walkAll(t, true)
}
