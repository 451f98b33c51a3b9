package digest

import "testing"

// The SHA-256 of the empty text is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.
func TestETag(t *testing.T) {
	t.Parallel()
	if got, want := ETag(nil), `"47DEQpj8HBSa-_TImW-5JA"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if ETag([]byte("a")) == ETag([]byte("b")) {
		t.Error("two bodies have the same tag")
	}
}

func TestCSPSource(t *testing.T) {
	t.Parallel()
	if got, want := CSPSource(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
