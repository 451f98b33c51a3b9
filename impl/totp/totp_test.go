package totp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"testing"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The vectors of RFC 6238 appendix B for SHA-1. They have eight digits, of which apps show the last six.
func TestVectors(t *testing.T) {
	t.Parallel()
	secret := secretOf([]byte("12345678901234567890"))
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		now := time.Unix(at, 0)
		if code := must(secret.Code(Step(now))); code != want[2:] {
			t.Errorf("at %d: %s, want %s", at, code, want[2:])
		}
		if step, ok, err := secret.Match(want[2:], now); !ok || err != nil || step != at/30 {
			t.Errorf("at %d: %s is matched as %d, %v, %v", at, want[2:], step, ok, err)
		}
	}
}

// A code is accepted in its period and in those beside it.
func TestTolerance(t *testing.T) {
	t.Parallel()
	secret := secretOf([]byte("12345678901234567890"))
	const step = 41152263 // 1234567890
	code := must(secret.Code(step))
	for seconds, want := range map[int64]bool{-31: false, -30: true, -1: true, 0: true, 29: true, 30: true, 59: true, 60: false} {
		got, ok, err := secret.Match(code, time.Unix(step*30+seconds, 0))
		if err != nil || ok != want || ok && got != step {
			t.Errorf("%d s after the beginning of the period: %d, %v, %v", seconds, got, ok, err)
		}
	}
	for _, wrong := range []string{"", code[1:], code + "0", " " + code, strings.Repeat("x", 6)} {
		if _, ok, err := secret.Match(wrong, time.Unix(step*30, 0)); ok || err != nil {
			t.Errorf("%q: %v, %v", wrong, ok, err)
		}
	}
}

// If two of the accepted steps have the same code, the later one is used: otherwise the code would be valid twice.
func TestSameCodeOfTwoSteps(t *testing.T) {
	t.Parallel()
	secret := secretOf([]byte("12345678901234567890"))
	var last [3]string
	for step := int64(1); step < 10_000_000; step++ {
		last = [3]string{last[1], last[2], must(secret.Code(step))}
		if last[2] != last[1] && last[2] != last[0] {
			continue
		}
		if got, ok, err := secret.Match(last[2], time.Unix((step-1)*30, 0)); !ok || err != nil || got != step {
			t.Errorf("%d, %v, %v; want %d", got, ok, err, step)
		}
		return
	}
	t.Error("no code has occurred twice")
}

func TestSecretsDifferAndAreHidden(t *testing.T) {
	t.Parallel()
	one, two := must(NewSecret()), must(NewSecret())
	if one.Base32() == two.Base32() || len(one.Base32()) != 32 {
		t.Errorf("the secrets %s and %s", one.Base32(), two.Base32())
	}
	type inside struct{ hidden Secret }
	text := fmt.Sprintf("%v %+v %#v %s %x %v %+v", one, one, one, one, one, inside{one}, &inside{one})
	body, err := json.Marshal(map[string]any{"secret": one})
	if err != nil {
		t.Fatal(err)
	}
	text += string(body)
	if strings.Contains(text, one.Base32()) || strings.Contains(text, fmt.Sprintf("%x", one.key())) || !strings.Contains(text, "[secret]") {
		t.Errorf("printed: %s", text)
	}
}

// The URI has what apps read, whatever the names are, and the QR code has a white margin.
func TestSetup(t *testing.T) {
	t.Parallel()
	secret := secretOf([]byte("12345678901234567890"))
	for service, issuer := range map[string]string{
		"Financelime": "Financelime", "A: B & C?": "A  B & C?", "Сервис «Люкс»": "Сервис «Люкс»", strings.Repeat("ы", 64): strings.Repeat("ы", 64),
	} {
		for _, account := range []string{"test.user+1@financelime.com", strings.Repeat("x", 64) + "@" + strings.Repeat("y", 185) + ".com"} {
			setup := must(secret.Setup(service, account))
			u := must(url.Parse(setup.URI))
			q := u.Query()
			if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/"+issuer+":"+account || q.Get("issuer") != issuer || q.Get("secret") != setup.Secret ||
				q.Get("algorithm") != "SHA1" || q.Get("digits") != "6" || q.Get("period") != "30" || strings.Contains(setup.URI, "+1@") {
				t.Errorf("the URI of %q, %q: %s", service, account, setup.URI)
			}
			picture := must(png.Decode(bytes.NewReader(setup.QRPNG)))
			if picture.Bounds().Dx() != 320 || picture.Bounds().Dy() != 320 || len(setup.QRPNG) > 16<<10 {
				t.Errorf("the QR code has %v, %d bytes", picture.Bounds(), len(setup.QRPNG))
			}
			dark := 0
			for x := range 320 {
				for y := range 320 {
					r, _, _, _ := picture.At(x, y).RGBA()
					if r == 0 && (x < margin || y < margin || x >= 320-margin || y >= 320-margin) {
						t.Fatal("the margin is not white")
					}
					if r == 0 {
						dark++
					}
				}
			}
			if dark < 5000 {
				t.Errorf("the QR code has only %d dark pixels", dark)
			}
		}
	}
}
