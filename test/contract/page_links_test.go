package contract

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// signUpToChoose signs up with choosePassword.
func (p *person) signUpToChoose(code string) *client.SignupResponse {
	p.t.Helper()
	choose := true
	return p.api().SignUp(client.SignUpRequest{Email: p.email, InviteCode: code, Language: p.language, ChoosePassword: &choose})
}

// choose chooses a password by a link of /l/.
func (p *person) choose(link *url.URL, chosen string) *client.UseLinkResponse {
	p.t.Helper()
	return p.api().UseLink(link, client.UseLinkRequest{NewPassword: &chosen})
}

// joinByChoice signs up, and chooses a password by the mailed link.
func (p *person) joinByChoice(code string) *person {
	p.t.Helper()
	p.want("sign up", p.signUpToChoose(code).StatusCode(), 204)
	p.want("choose a password", p.choose(p.mail().Link(p.t), chosenPassword).StatusCode(), 200)
	p.password = chosenPassword
	return p
}

// linkToChoose requests a reset with choosePassword, and returns the mailed link.
func (p *person) linkToChoose() *url.URL {
	p.t.Helper()
	p.want("reset", p.api().ResetToChoose(p.email).StatusCode(), 204)
	link := p.mail().Link(p.t)
	if !strings.HasPrefix(link.Path, "/l/") {
		p.t.Fatalf("the link is %s", link.Path)
	}
	return link
}

// TestPageLinks covers the links of /l/ with which users choose a password.
func TestPageLinks(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug")
		scannersChangeNothing(t, s) // first: it compares all rows
		for name, decision := range map[string]func(*testing.T, *harness.Service){
			"a chosen password completes a sign-up":           chosenSignUp,
			"a chosen password replaces everything older":     chosenReset,
			"a link of one form kills the other":              eitherForm,
			"a pending sign-up gets its link in either form":  pendingEitherForm,
			"a refused password keeps the link usable":        refusedChoice,
			"the link is checked first":                       linkFirst,
			"an expired link does nothing":                    expiredPageLink,
			"the link of a disabled user does nothing":        disabledPageLink,
			"a link that a new one replaces does nothing":     replacedPageLink,
			"a change of the password voids a link to choose": changeVoidsPageLink,
			"the form of the page works without a script":     formInEachLanguage,
			"a form is as strict as JSON":                     strictForms,
			"a malformed link does not exist":                 malformedPageLinks,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				decision(t, s)
			})
		}
	})
}

// scannersChangeNothing opens links as mail scanners do. Nothing changes, and the links still work.
func scannersChangeNothing(t *testing.T, s *harness.Service) {
	signedUp, resetting := newPerson(t, s), newPerson(t, s).join(s.Invite(t, 1))
	resetting.login()
	signedUp.want("sign up", signedUp.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
	links := []*url.URL{signedUp.mail().Link(t), resetting.linkToChoose()}
	eventually(t, "all mails are sent", func() bool { return s.Count(t, "SELECT count(*) FROM mail WHERE sent_at IS NULL") == 0 })
	before := s.Snapshot(t)
	for _, link := range links {
		for range 20 {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
				response, _ := send(t, s, method, link.RequestURI(), nil, "")
				want := http.StatusMethodNotAllowed
				if method == http.MethodGet {
					want = http.StatusOK
				}
				wantStatus(t, method, response.StatusCode, want)
			}
		}
		opened := signedUp.api().OpenLink(link)
		if opened.StatusCode() != 200 || !opened.JSON200.Purpose.Valid() || !strings.Contains(opened.JSON200.Message, "@example.com") {
			t.Errorf("open the link: %d %s", opened.StatusCode(), opened.Body)
		}
	}
	if after := s.Snapshot(t); after != before {
		t.Errorf("opening links has changed the database:\n%s\n\n%s", before, after)
	}
	signedUp.want("the link after the scanner", signedUp.choose(links[0], chosenPassword).StatusCode(), 200)
	resetting.want("the link after the scanner", resetting.choose(links[1], chosenPassword).StatusCode(), 200)
}

func chosenSignUp(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	p.want("sign up", p.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
	link := p.mail().Link(t)
	p.want("log in before", p.tryLogin(chosenPassword).StatusCode(), 404)
	r := p.choose(link, chosenPassword)
	if r.StatusCode() != 200 || r.JSON200.Purpose != client.LinkResponsePurposeSignup {
		t.Fatalf("choose a password: %d %s", r.StatusCode(), r.Body)
	}
	p.want("choose again", p.choose(link, anotherPassword).StatusCode(), 404)
	p.want("open the used link", p.api().OpenLink(link).StatusCode(), 404)
	p.password = chosenPassword
	p.login()
	if u := p.api().User(p.session.AccessToken); u.StatusCode() != 200 || !u.JSON200.PasswordChosen {
		t.Errorf("the account: %d %s", u.StatusCode(), u.Body)
	}
	account := "(SELECT id FROM account WHERE email = $1)"
	if n := s.Count(t, "SELECT count(*) FROM mail WHERE kind = 'password' AND account_id = "+account, p.email); n != 0 {
		t.Error("a password was mailed")
	}
	if n := s.Count(t, "SELECT uses FROM invite WHERE id = (SELECT invite_id FROM account WHERE email = $1)", p.email); n != 1 {
		t.Errorf("the invite counts %d uses", n)
	}
	wantEvent(t, logLines(t, s), logLine{Event: "link.used", Level: "INFO", Outcome: "success", AccountID: userID(t, p)})
}

func chosenReset(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	first, second := p.login(), p.login()
	old := p.password
	mailed := p.mailedPassword()
	id := userID(t, p)

	r := p.choose(p.linkToChoose(), anotherPassword)
	if r.StatusCode() != 200 || r.JSON200.Purpose != client.LinkResponsePurposePassword {
		t.Fatalf("choose a password: %d %s", r.StatusCode(), r.Body)
	}
	for _, session := range []client.AccessTokenResponse{first, second} {
		p.want("refresh an older session", p.tryRefresh(session.RefreshToken).StatusCode(), 404)
		p.want("verify it", verifyOn(t, s, session.AccessToken), 401)
	}
	p.want("log in with the old password", p.tryLogin(old).StatusCode(), 404)
	p.want("log in with the mailed password", p.tryLogin(mailed).StatusCode(), 404)
	p.want("log in with the chosen password", p.tryLogin(anotherPassword).StatusCode(), 200)
	if notice := s.WaitNotices(t, p.email, 1)[0]; !strings.Contains(notice.Subject, "You changed the password") {
		t.Errorf("the notice: %s", notice.Subject)
	}
	lines := logLines(t, s)
	wantEvent(t, lines, logLine{Event: "link.used", Level: "INFO", Outcome: "success", AccountID: id})
	wantEvent(t, lines, logLine{Event: "password.changed", Level: "INFO", Outcome: "success", AccountID: id})
}

// eitherForm requests both forms of a reset link in both orders: only the newest one works.
func eitherForm(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.want("reset", p.resetPassword().StatusCode(), 204)
	mails := p.mail().Link(t)
	chooses := p.linkToChoose()
	p.want("open the older link", p.open(mails).StatusCode, 404)
	p.want("the newer link", p.api().OpenLink(chooses).StatusCode(), 200)
	p.want("reset", p.resetPassword().StatusCode(), 204)
	mails = p.mail().Link(t)
	p.want("use the older link", p.choose(chooses, chosenPassword).StatusCode(), 404)
	p.want("open the newer link", p.open(mails).StatusCode, 200)
	p.password = p.mail().Password(t)
	p.login()
}

// pendingEitherForm requests a reset for a sign-up: the link comes in the form of the request, and expires when the sign-up does.
func pendingEitherForm(t *testing.T, s *harness.Service) {
	code := s.Invite(t, 3)
	p := newPerson(t, s)
	p.want("sign up", p.signUp(code).StatusCode(), 204)
	mails := p.mail().Link(t)
	chooses := p.linkToChoose()
	if n := s.Count(t, `SELECT count(*) FROM link JOIN account ON account.id = link.account_id
		WHERE account.email = $1 AND link.purpose = 'signup' AND link.expires_at = account.pending_until`, p.email); n != 1 {
		t.Error("the link does not expire with the sign-up")
	}
	p.want("open the older link", p.open(mails).StatusCode, 404)
	p.want("reset", p.api().ResetToChoose(p.email).StatusCode(), 204) // the same form: the same link again
	if again := p.mail().Link(t); again.Path != chooses.Path {
		t.Errorf("the link has changed: %s, %s", again.Path, chooses.Path)
	}
	p.want("reset", p.resetPassword().StatusCode(), 204)
	mails = p.mail().Link(t)
	p.want("use the older link", p.choose(chooses, chosenPassword).StatusCode(), 404)
	p.want("open the newer link", p.open(mails).StatusCode, 200)

	other := newPerson(t, s)
	other.want("sign up", other.signUp(code).StatusCode(), 204)
	other.mail()
	other.want("choose", other.choose(other.linkToChoose(), chosenPassword).StatusCode(), 200)
	other.password = chosenPassword
	other.login()
}

// refusals are passwords that the policy refuses.
func refusals(email string) map[string]client.UseLinkFailure422Message {
	return map[string]client.UseLinkFailure422Message{
		"fourteen chars":         client.UseLinkFailure422MessagePASSWORDTOOSHORT,
		"AAAAaaaaaaaaaaaaAAAA":   client.UseLinkFailure422MessagePASSWORDKNOWN,
		"zqzqzqzqzqzqzqzqzqzqzq": client.UseLinkFailure422MessagePASSWORDGUESSABLE,
		strings.ToUpper(email):   client.UseLinkFailure422MessagePASSWORDGUESSABLE,
	}
}

func refusedChoice(t *testing.T, s *harness.Service) {
	signedUp, resetting := newPerson(t, s), newPerson(t, s).join(s.Invite(t, 1))
	signedUp.want("sign up", signedUp.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
	for p, link := range map[*person]*url.URL{signedUp: signedUp.mail().Link(t), resetting: resetting.linkToChoose()} {
		for chosen, want := range refusals(p.email) {
			if r := p.choose(link, chosen); r.StatusCode() != 422 || r.JSON422.Message != want {
				t.Errorf("%q: %d %s, want %s", chosen, r.StatusCode(), r.Body, want)
			}
		}
		for name, body := range map[string]client.UseLinkRequest{"nothing": {}, "a control character": {NewPassword: new("a bell\arings in the room")}} {
			r := p.api().UseLink(link, body)
			if r.StatusCode() != 400 || r.JSON400.Parameters == nil || len(*r.JSON400.Parameters) != 1 || (*r.JSON400.Parameters)[0] != "newPassword" {
				t.Errorf("%s: %d %s", name, r.StatusCode(), r.Body)
			}
		}
		p.want("an allowed password", p.choose(link, chosenPassword).StatusCode(), 200)
		p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
	}
	wantEvent(t, logLines(t, s), logLine{Event: "password.refused", Level: "INFO", Outcome: "failure", Reason: "PASSWORD_KNOWN", AccountID: loginID(t, resetting)})
}

// loginID logs in with the chosen password and returns the ID of the account.
func loginID(t *testing.T, p *person) string {
	t.Helper()
	p.password = chosenPassword
	p.login()
	return userID(t, p)
}

// linkFirst expects an unknown link to be 404 whatever the password, so that the response reveals nothing about the account of a link.
func linkFirst(t *testing.T, s *harness.Service) {
	p := newPerson(t, s)
	unknown := &url.URL{Path: unknownPageLink, RawQuery: "rid=" + rid()}
	p.want("no password", p.api().UseLink(unknown, client.UseLinkRequest{}).StatusCode(), 404)
	p.want("a short password", p.choose(unknown, "short").StatusCode(), 404)
	p.want("a password", p.choose(unknown, chosenPassword).StatusCode(), 404)
}

func expiredPageLink(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	link := p.linkToChoose()
	s.Exec(t, "UPDATE link SET expires_at = created_at WHERE account_id = (SELECT id FROM account WHERE email = $1)", p.email)
	p.want("open", p.api().OpenLink(link).StatusCode(), 404)
	p.want("use", p.choose(link, chosenPassword).StatusCode(), 404)
	p.login()
}

func disabledPageLink(t *testing.T, s *harness.Service) {
	resetting, signedUp := newPerson(t, s).join(s.Invite(t, 1)), newPerson(t, s)
	signedUp.want("sign up", signedUp.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
	for p, link := range map[*person]*url.URL{resetting: resetting.linkToChoose(), signedUp: signedUp.mail().Link(t)} {
		s.Exec(t, "UPDATE account SET disabled_at = created_at WHERE email = $1", p.email)
		p.want("open", p.api().OpenLink(link).StatusCode(), 404)
		p.want("use", p.choose(link, chosenPassword).StatusCode(), 404)
		s.Exec(t, "UPDATE account SET disabled_at = NULL WHERE email = $1", p.email)
		p.want("use when the user is enabled again", p.choose(link, chosenPassword).StatusCode(), 200)
	}
}

func replacedPageLink(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	older, newer := p.linkToChoose(), p.linkToChoose()
	p.want("the older link", p.choose(older, anotherPassword).StatusCode(), 404)
	p.want("the newer link", p.choose(newer, chosenPassword).StatusCode(), 200)
	p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
}

func changeVoidsPageLink(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	link := p.linkToChoose()
	p.change(chosenPassword)
	p.want("use a link of before the change", p.choose(link, anotherPassword).StatusCode(), 404)
	// The same for a login with a mailed password, which replaces the older one.
	mailed := p.mailedPassword()
	link = p.linkToChoose()
	p.want("log in with the mailed password", p.tryLogin(mailed).StatusCode(), 200)
	p.want("use a link of before the login", p.choose(link, anotherPassword).StatusCode(), 404)
}

// formHeader is what a browser sends with the form of the page.
func formHeader(language string) http.Header {
	return http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Language": {language}, "Origin": {"null"},
	}
}

// formInEachLanguage walks through the page as a browser does. The page is in the user's language, not in the browser's.
func formInEachLanguage(t *testing.T, s *harness.Service) {
	for language, words := range map[string][3]string{
		"en": {"Choose your password", "At least 15 characters", "too short"},
		"ru": {"Придумайте пароль", "Минимальное число символов: 15", "слишком короткий"},
	} {
		p := newPerson(t, s)
		p.language = language
		p.want("sign up", p.signUpToChoose(s.Invite(t, 1)).StatusCode(), 204)
		link := p.mail().Link(t)
		post := func(password string, want int) (http.Header, string) {
			t.Helper()
			response, page := send(t, s, http.MethodPost, link.RequestURI(), formHeader("de"), url.Values{"newPassword": {password}}.Encode())
			wantStatus(t, "post the form", response.StatusCode, want)
			if got := response.Header.Get("Content-Language"); want != 404 && got != language {
				t.Errorf("the language is %q", got)
			}
			return response.Header, page
		}
		response, page := send(t, s, http.MethodGet, link.RequestURI(), formHeader("de"), "")
		wantStatus(t, "open the page", response.StatusCode, 200)
		csp := response.Header.Get("Content-Security-Policy")
		if !strings.Contains(page, words[0]) || !strings.Contains(page, words[1]) || !strings.Contains(page, p.email) ||
			!strings.Contains(csp, "form-action 'self'") || strings.Contains(page, "<script") {
			t.Errorf("%s: %s\n%s", language, csp, page)
		}
		_, page = post("short", 422)
		if !strings.Contains(page, words[2]) || !strings.Contains(page, `aria-invalid="true"`) || strings.Contains(page, `value="short"`) {
			t.Errorf("%s, refused:\n%s", language, page)
		}
		header, page := post("пять слов & пробелы = пароль", 200)
		if strings.Contains(page, "<form") || strings.Contains(header.Get("Content-Security-Policy"), "'self'") {
			t.Errorf("%s, used:\n%s", language, page)
		}
		post("пять слов & пробелы = пароль", 404)
		p.want("log in", p.tryLogin("пять слов & пробелы = пароль").StatusCode(), 200)
	}
}

func strictForms(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	link := p.linkToChoose()
	good := url.Values{"newPassword": {chosenPassword}}.Encode()
	for name, form := range map[string]string{
		"empty": "", "twice": good + "&" + good, "an unknown field": good + "&role=admin", "an empty field": "newPassword=", "no value": "newPassword",
		"a malformed escape": "newPassword=%zz" + good, "NUL": good + "%00", "not UTF-8": good + "%ff", "overlong": good + "%c0%80", "a surrogate": good + "%ed%a0%80",
		"a semicolon": "a=b;" + good, "the wrong case": strings.Replace(good, "new", "New", 1), "an empty pair": good + "&", "too long": "newPassword=" + strings.Repeat("a", 257),
		"JSON": `{"newPassword":"` + chosenPassword + `"}`, "an index": strings.Replace(good, "=", "%5B%5D=", 1), "a line break": good + "%0D%0A",
	} {
		for accept, want := range map[string]string{"text/html": "<h1>", "application/json": `"message":"BAD_PARAMETERS"`} {
			header := formHeader("en")
			header.Set("Accept", accept)
			response, body := send(t, s, http.MethodPost, link.RequestURI(), header, form)
			if response.StatusCode != 400 || !strings.Contains(body, want) || strings.Contains(body, "seven green") {
				t.Errorf("%s: %d %s", name, response.StatusCode, body)
			}
		}
	}
	for _, contentType := range [][]string{
		nil, {"text/plain"}, {"multipart/form-data; boundary=x"}, {"application/x-www-form-urlencoded; charset=utf-16"}, {"application/x-www-form-urlencoded", "application/json"},
	} {
		header := formHeader("en")
		header["Content-Type"] = contentType
		response, _ := send(t, s, http.MethodPost, link.RequestURI(), header, good)
		wantStatus(t, "content type "+strings.Join(contentType, ","), response.StatusCode, 400)
	}
	response, page := send(t, s, http.MethodPost, link.RequestURI(), formHeader("ru"), "newPassword="+strings.Repeat("a", 16<<10))
	if response.StatusCode != 413 || !strings.Contains(page, "не длиннее 256 символов") {
		t.Errorf("a large form: %d %s", response.StatusCode, page)
	}
	header := formHeader("en")
	header.Set("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8")
	response, _ = send(t, s, http.MethodPost, link.RequestURI(), header, good)
	wantStatus(t, "the form", response.StatusCode, 200)
	p.want("log in", p.tryLogin(chosenPassword).StatusCode(), 200)
}

func malformedPageLinks(t *testing.T, s *harness.Service) {
	p := newPerson(t, s).join(s.Invite(t, 1))
	link := p.linkToChoose().RequestURI()
	key := regexp.MustCompile(`^/l/([^?]+)`).FindStringSubmatch(link)[1]
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, wrong := range []string{
			strings.Replace(link, key, key[:42], 1), strings.Replace(link, key, key+"A", 1), strings.Replace(link, key, key+"%2F", 1),
			strings.Replace(link, key, key[:42]+"!", 1), "/l/" + key, "/l/" + key + "?rid=short", link + "&rid=" + rid(),
			"/u/" + key + "?rid=" + rid(),
		} {
			if method == http.MethodPost && strings.HasPrefix(wrong, "/u/") {
				continue // it has no POST
			}
			response, page := send(t, s, method, wrong, formHeader("ru"), "newPassword=x")
			if response.StatusCode != 404 || !strings.Contains(page, "больше не действует") {
				t.Errorf("%s %s: %d %s", method, wrong, response.StatusCode, page)
			}
		}
	}
	response, _ := send(t, s, http.MethodGet, link, nil, "")
	wantStatus(t, "the link itself", response.StatusCode, 200)
}
