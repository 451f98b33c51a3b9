package totp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
)

func TestSealer(t *testing.T) {
	t.Parallel()
	before, after, other := must(secret.Generate()), must(secret.Generate()), must(secret.Generate())
	plain, account := must(NewSecret()), uuid.New()
	old := must(NewSealer(before))
	sealed := must(old.Seal(plain, account))
	if bytes.Contains(sealed, plain.key()) || bytes.Equal(sealed, must(old.Seal(plain, account))) {
		t.Error("the secret is not encrypted, or without a nonce")
	}
	for name, root := range map[string]secret.Root{"alone": before, "first": before.Accepting(after), "second": after.Accepting(before)} {
		got, err := must(NewSealer(root)).Open(sealed, account)
		if err != nil || got.Base32() != plain.Base32() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := must(NewSealer(after.Accepting(other))).Open(sealed, account); !errors.Is(err, ErrForeignSecret) {
		t.Errorf("under another secret: %v", err)
	}
	if _, err := old.Open(sealed, uuid.New()); err == nil || errors.Is(err, ErrForeignSecret) {
		t.Errorf("of another account: %v", err)
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := old.Open(damaged, account); err == nil {
			t.Errorf("byte %d is damaged", i)
		}
		if _, err := old.Open(sealed[:i], account); err == nil {
			t.Errorf("only %d bytes", i)
		}
	}
}
