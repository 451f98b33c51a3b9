package totp

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
)

// The size of a QR code in pixels, and the white margin around it: four modules at least (ISO/IEC 18004), so that a scanner finds the code also on
// a dark page.
const (
	codeSize = 256
	margin   = 32
)

// Setup is what a user needs to add a secret to an authenticator app.
type Setup struct {
	Secret string // in base32
	URI    string // otpauth://totp/
	QRPNG  []byte // the URI as a QR code
}

// Setup describes the secret for an app, which shows it under the names of the service and of the account.
func (s Secret) Setup(service, account string) (Setup, error) {
	issuer := escape(strings.ReplaceAll(service, ":", " ")) // a colon ends the issuer in the label of the URI
	uri := fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=6&period=%d",
		issuer, escape(account), s.Base32(), issuer, period/time.Second)
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return Setup{}, fmt.Errorf("describe a TOTP secret: %w", err)
	}
	code, err := key.Image(codeSize, codeSize)
	if err != nil {
		return Setup{}, fmt.Errorf("draw the QR code of a TOTP secret: %w", err)
	}
	canvas := image.NewPaletted(image.Rect(0, 0, codeSize+2*margin, codeSize+2*margin), color.Palette{color.White, color.Black})
	draw.Draw(canvas, code.Bounds().Add(image.Pt(margin, margin)), code, code.Bounds().Min, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, canvas); err != nil {
		return Setup{}, fmt.Errorf("encode the QR code of a TOTP secret: %w", err)
	}
	return Setup{Secret: s.Base32(), URI: uri, QRPNG: out.Bytes()}, nil
}

// escape escapes a name for the path and for the query of a URI: apps differ in how they read a plus sign. (The library escapes no ampersand.)
func escape(name string) string {
	return strings.NewReplacer("+", "%20", "%40", "@").Replace(url.QueryEscape(name))
}
