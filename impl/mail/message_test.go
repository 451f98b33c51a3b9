package mail

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/locale"
	"github.com/financelime/authorization/impl/locale/localetest"
)

var (
	allKinds = []string{
		KindSignUpLink, KindPasswordLink, KindPassword, KindSignUpNotice, KindLoginNotice, KindPasswordNotice,
		KindPasswordChanged, KindFactorChanged, KindRecoveryCodeUsed, KindSecondFactorFailed,
		KindSignUpChooseLink, KindPasswordChooseLink, KindEmailLink, KindEmailUndo, KindDeletionUndo, KindEmailAsked,
		KindEmailNotice,
	}
	allLanguages = locale.Default().Tags()
)

func TestKinds(t *testing.T) {
	t.Parallel()
	if got, want := Kinds(), slices.Sorted(slices.Values(allKinds)); !slices.Equal(got, want) {
		t.Errorf("the kinds that have a text are %q, want %q", got, want)
	}
}

const (
	sampleLink     = "https://auth.example.org/u/TFSEYir3LBMpgg_Jj57X6isB8gGGJT0uistPg8LmGEI?rid=sign-up%2B1"
	sampleAppURL   = "https://app.example.org/login?from=mail&lang=%C3%BC#/log/in?a=b&c=d"
	samplePassword = "k3v9-0a1b-2c3d-4e5f-6g7h-8j9k-mnpq"
)

func sampleValues(kind string) Values {
	v := Values{Service: "Financelime"}
	switch kind {
	case KindPassword:
		v.Password, v.Life = samplePassword, 24*time.Hour
	case KindSignUpLink, KindPasswordLink, KindSignUpChooseLink, KindPasswordChooseLink, KindEmailLink, KindEmailUndo, KindDeletionUndo:
		v.Link, v.Life = sampleLink, 24*time.Hour
	case KindLoginNotice, KindPasswordNotice, KindPasswordChanged, KindEmailAsked, KindFactorChanged, KindRecoveryCodeUsed, KindSecondFactorFailed:
		v.Login = Login{At: sampleDate, Platform: "Linux x86_64", Addr: "203.0.113.5"}
	}
	return v
}

// TestEveryKindIsSent expects the worker to have values for every kind that has a text, or an error about the row.
func TestEveryKindIsSent(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		for _, kind := range Kinds() {
			f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: kind})
			if !f.deliverNext(t) {
				t.Errorf("%s: the worker did not attempt it", kind)
			}
		}
		if log := f.log.String(); strings.Contains(log, "unknown kind") {
			t.Errorf("log: %s", log)
		}
	})
}

func mustRender(t *testing.T, kind, language string) Message {
	t.Helper()
	m, err := Render(kind, language, sampleValues(kind))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func eachMessage(t *testing.T, check func(t *testing.T, kind, language string)) {
	t.Helper()
	for _, kind := range allKinds {
		for _, language := range allLanguages {
			t.Run(kind+"/"+language, func(t *testing.T) {
				t.Parallel()
				check(t, kind, language)
			})
		}
	}
}

// A language that only this test has: its folder is all that it needs.
func TestAnotherLanguage(t *testing.T) {
	t.Parallel()
	catalog, err := locale.Load(localetest.With(t, "sl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range allKinds {
		m, err := render(catalog.Lookup("sl"), kind, sampleValues(kind))
		if err != nil {
			t.Fatal(err)
		}
		if m.Language != "sl" || !strings.HasPrefix(m.Text, "sl ") || !strings.Contains(m.HTML, `<html lang="sl">`) || m.Subject == "" {
			t.Errorf("%s: %+v", kind, m)
		}
		if v := sampleValues(kind); v.Life != 0 && !strings.Contains(m.HTML, "24\u00a0hour-other") {
			t.Errorf("%s: not in the units of the language: %s", kind, m.Text)
		} else if v.Link != "" && !strings.Contains(m.HTML, "sl copy<br>") {
			t.Errorf("%s: the link has no label: %s", kind, m.HTML)
		}
	}
}

func TestMessageText(t *testing.T) {
	t.Parallel()
	eachMessage(t, func(t *testing.T, kind, language string) {
		m := mustRender(t, kind, language)
		values := sampleValues(kind)
		secret := values.Link + values.Password
		lines := strings.Split(m.Text, "\n")
		alone := slices.Index(lines, secret)
		if secret != "" && (alone < 1 || lines[alone-1] != "" || lines[alone+1] != "") {
			t.Errorf("%s is not a paragraph of its own:\n%s", secret, m.Text)
		}
		if secret != "" && strings.Count(m.Text, secret) != 1 {
			t.Error("it occurs more than once")
		}
		for _, line := range lines {
			if line != secret && len([]rune(line)) > 80 {
				t.Errorf("a long line: %q", line)
			}
		}
		if !strings.HasSuffix(m.Text, "\n") || strings.HasSuffix(m.Text, "\n\n") || strings.HasPrefix(m.Text, "\n") {
			t.Errorf("begins or ends wrongly: %q", m.Text)
		}
		if strings.Contains(m.Text, "{{") || strings.Contains(m.Text, "<no value>") {
			t.Errorf("not filled in: %s", m.Text)
		}
		life := map[string]string{"en": "24\u00a0hours", "ru": "24\u00a0часа"}[language]
		if secret != "" && !strings.Contains(m.Text, life) {
			t.Errorf("does not say that it is valid for %s:\n%s", life, m.Text)
		}
		russian := strings.ContainsFunc(m.Text, func(r rune) bool { return r >= 'а' && r <= 'я' })
		if russian != (language == "ru") {
			t.Errorf("not in %s: %s", language, m.Text)
		}
	})
}

// Both parts have the same sentences: a mail program shows one of them.
func TestMessageHTML(t *testing.T) {
	t.Parallel()
	eachMessage(t, func(t *testing.T, kind, language string) {
		m := mustRender(t, kind, language)
		root, err := html.Parse(strings.NewReader(m.HTML))
		if err != nil {
			t.Fatal(err)
		}
		var visible strings.Builder
		var links []string
		for n := range root.Descendants() {
			switch {
			case n.Type == html.TextNode:
				visible.WriteString(n.Data)
			case n.Type != html.ElementNode:
			case n.Data == "html" && n.Attr[0].Val != language:
				t.Errorf("lang=%s", n.Attr[0].Val)
			case n.Data == "a":
				links = append(links, n.Attr[0].Val)
			case slices.Contains([]string{"img", "script", "link", "style", "iframe", "form"}, n.Data):
				t.Errorf("<%s> has no place in a mail", n.Data)
			}
		}
		for paragraph := range strings.SplitSeq(strings.TrimSpace(m.Text), "\n\n") {
			if sentence := strings.ReplaceAll(paragraph, "\n", " "); !strings.Contains(visible.String(), sentence) {
				t.Errorf("the HTML does not say %q", sentence)
			}
		}
		if bordered := strings.Contains(m.HTML, "<code"); bordered != strings.Contains(m.HTML, "border:1px solid;") {
			t.Error("the border of the password has its own color: its contrast is not that of the text")
		}
		var want []string
		if sampleValues(kind).Link != "" {
			want = []string{sampleLink, sampleLink} // the button and the raw link
			if strings.Contains(m.HTML, "></a>") {
				t.Error("the button has no caption")
			}
		}
		if !slices.Equal(links, want) {
			t.Errorf("links %q, want %q", links, want)
		}
	})
}

// Scripts find a mail by words of its subject: each of these words occurs in the subject of one kind.
func TestSubjects(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"confirm": KindSignUpLink, "address": KindSignUpLink,
		"reset":         KindPasswordLink,
		"your password": KindPassword,
	} {
		for _, kind := range allKinds {
			if got := containsFold(mustRender(t, kind, "en").Subject, words); got != (kind == want) {
				t.Errorf("the subject of %s has %q: %t", kind, words, got)
			}
		}
	}
	seen := map[string]bool{}
	for _, kind := range allKinds {
		for _, language := range allLanguages {
			subject := mustRender(t, kind, language).Subject
			if subject == "" || seen[subject] || strings.ContainsAny(subject, "\r\n{}") {
				t.Errorf("%s, %s: subject %q", kind, language, subject)
			}
			seen[subject] = true
		}
	}
}

func TestPasswordMailExplainsItsRules(t *testing.T) {
	t.Parallel()
	for language, want := range map[string][]string{
		"en": {"within 24\u00a0hours", "first login", "all your other sessions end"},
		"ru": {"до первого входа он действует 24\u00a0часа", "После первого входа", "остальные сеансы завершатся"},
	} {
		text := strings.ReplaceAll(mustRender(t, KindPassword, language).Text, "\n", " ")
		for _, words := range want {
			if !strings.Contains(text, words) {
				t.Errorf("%s: does not say %q:\n%s", language, words, text)
			}
		}
	}
}

func TestRenderEscapesHTML(t *testing.T) {
	t.Parallel()
	v := sampleValues(KindSignUpLink)
	v.Service = `<b>A & "B"</b>`
	v.Link = `javascript:alert(1)`
	m, err := Render(KindSignUpLink, "en", v)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.HTML, "<b>") || strings.Contains(m.HTML, `href="javascript:`) {
		t.Errorf("not escaped: %s", m.HTML)
	}
	if !strings.Contains(m.Text, v.Service) {
		t.Error("escaped in the text part, which is not HTML")
	}
}

func TestRenderUnforeseen(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"", "layout", "signup_link.en", "../x"} {
		if _, err := Render(kind, "en", Values{}); err == nil {
			t.Errorf("kind %q has a message", kind)
		}
	}
	for _, language := range []string{"", "de", "../x"} {
		m, err := Render(KindPassword, language, sampleValues(KindPassword))
		if err != nil || !regexp.MustCompile(`^Your password`).MatchString(m.Subject) {
			t.Errorf("language %q: %q, %v", language, m.Subject, err)
		}
	}
}

func TestNewDevice(t *testing.T) {
	t.Parallel()
	for language, want := range map[string][2]string{
		"en": {"There was a new login to your account at Financelime.", "There was a new login to your account at Financelime from a new device."},
		"ru": {"В вашу учётную запись Financelime выполнен вход.", "В вашу учётную запись Financelime вошли с нового устройства."},
	} {
		for i, isNew := range []bool{false, true} {
			v := sampleValues(KindLoginNotice)
			v.Login.NewDevice = isNew
			m, err := Render(KindLoginNotice, language, v)
			if text := strings.ReplaceAll(m.Text, "\u00a0", " "); err != nil || !strings.HasPrefix(text, want[i]+"\n") {
				t.Errorf("%s, %t: %s, %v", language, isNew, text, err)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	word, link := strings.Repeat("ж", 39), strings.Repeat("x", 200)
	for text, want := range map[string]string{
		"":                           "",
		"a b":                        "a b",
		"a  b":                       "a  b",
		link:                         link,
		"a " + link + " b":           "a\n" + link + "\nb",
		word + " " + word[:76]:       word + " " + word[:76],
		word + " " + word:            word + "\n" + word,
		word + " ж\u00a0" + word[2:]: word + "\nж\u00a0" + word[2:],
	} {
		if got := wrap(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		d      time.Duration
		en, ru string
	}{
		{time.Second, "1 second", "1 секунду"},
		{300 * time.Millisecond, "1 second", "1 секунду"},
		{-time.Second, "1 second", "1 секунду"},
		{2 * time.Second, "2 seconds", "2 секунды"},
		{5 * time.Second, "5 seconds", "5 секунд"},
		{11 * time.Second, "11 seconds", "11 секунд"},
		{21 * time.Second, "21 seconds", "21 секунду"},
		{44 * time.Second, "44 seconds", "44 секунды"},
		{time.Minute, "1 minute", "1 минуту"},
		{59*time.Second + 900*time.Millisecond, "1 minute", "1 минуту"},
		{4 * time.Minute, "4 minutes", "4 минуты"},
		{12 * time.Minute, "12 minutes", "12 минут"},
		{30*time.Minute - 2*time.Second, "30 minutes", "30 минут"},
		{59 * time.Minute, "59 minutes", "59 минут"},
		{time.Hour, "1 hour", "1 час"},
		{90 * time.Minute, "90 minutes", "90 минут"},
		{2 * time.Hour, "2 hours", "2 часа"},
		{9*time.Hour + 50*time.Minute, "9 hours", "9 часов"},
		{21 * time.Hour, "21 hours", "21 час"},
		{day - 2*time.Second, "24 hours", "24 часа"},
		{day, "24 hours", "24 часа"},
		{2 * day, "48 hours", "48 часов"},
		{3 * day, "3 days", "3 дня"},
		{7*day - time.Second, "7 days", "7 дней"},
		{30 * day, "30 days", "30 дней"},
		{111 * day, "111 days", "111 дней"},
		{121 * day, "121 days", "121 день"},
	} {
		for language, want := range map[string]string{"en": c.en, "ru": c.ru} {
			got := formatDuration(c.d, locale.Default().Lookup(language))
			if got != strings.ReplaceAll(want, " ", "\u00a0") {
				t.Errorf("%s in %s: %q, want %q", c.d, language, got, want)
			}
		}
	}
}
