package page

import "net/http"

// fallbackLanguage is what people read whose language we do not have.
const fallbackLanguage = "en"

// words is what one page says.
type words struct {
	Title string
	Lead  string   // what happened
	Hint  string   // introduces Next
	Next  []string // what to do now, each a whole sentence or two
}

// outcome names what a page is about.
type outcome string

const (
	signUpConfirmed   outcome = "signup"
	passwordConfirmed outcome = "password"
	linkUseless       outcome = "link useless"
	badRequest        outcome = "bad request"
	wrongMethod       outcome = "wrong method"
	tooLarge          outcome = "too large"
	tooMany           outcome = "too many"
	unavailable       outcome = "unavailable"
	broken            outcome = "broken"
)

// failureOf finds what to say about a status.
func failureOf(status int) outcome {
	switch {
	case status == http.StatusNotFound:
		return linkUseless
	case status == http.StatusMethodNotAllowed:
		return wrongMethod
	case status == http.StatusRequestEntityTooLarge:
		return tooLarge
	case status == http.StatusTooManyRequests:
		return tooMany
	case status == http.StatusServiceUnavailable:
		return unavailable
	case status >= 400 && status < 500:
		return badRequest
	}
	return broken
}

// waitMark stands in a text where the time to wait comes.
const waitMark = "{wait}"

// texts holds every page in every language.
//
//nolint:gochecknoglobals // nobody writes to it
var texts = map[string]map[outcome]words{
	"en": {
		signUpConfirmed: {
			Title: "Your address is confirmed",
			Lead:  "Your password is on its way to you by e-mail. Log in with it, and your account is ready.",
			Hint:  "If the mail does not come",
			Next: []string{
				"Give it a few minutes, and look among the spam as well.",
				"Still nothing? Ask for a password reset with the same address, and we send you a new link.",
			},
		},
		passwordConfirmed: {
			Title: "The password reset is confirmed",
			Lead:  "A new password is on its way to you by e-mail. Your old password works until you log in with the new one.",
			Hint:  "If the mail does not come",
			Next: []string{
				"Give it a few minutes, and look among the spam as well.",
				"Still nothing? Ask for another password reset. Only the newest password works.",
			},
		},
		linkUseless: {
			Title: "This link does not work any more",
			Lead:  "A link works once and for a limited time. This one has been used, has expired, has been replaced by a newer one, or is incomplete.",
			Hint:  "What you can do",
			Next: []string{
				"If you have opened it before, or your mail program did so for you, then your password has been mailed: log in with it.",
				"If no password has come, ask for a password reset with the same address, and we send you a new link.",
				"If you have not finished signing up and no link comes, sign up again.",
			},
		},
		badRequest: {
			Title: "This request cannot be understood",
			Lead:  "Something on the way to us has changed the request. Nothing has happened to your account.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link again, straight from the mail. If that does not help, copy the whole link into the address bar.",
			},
		},
		wrongMethod: {
			Title: "This address is only for opening a link",
			Lead:  "The request was of another kind. Nothing has happened to your account.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link from the mail in a browser.",
			},
		},
		tooLarge: {
			Title: "This request is too large",
			Lead:  "Opening a link needs no data besides the link itself. Nothing has happened to your account.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link from the mail in a browser.",
			},
		},
		tooMany: {
			Title: "Please wait before you open the link again",
			Lead:  "There have been too many requests in a short time. Your link was not used, and nothing has happened to your account.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link again in " + waitMark + ".",
			},
		},
		unavailable: {
			Title: "Please try again in a moment",
			Lead:  "We cannot answer right now. It is our fault, not yours.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link again in a minute. If it should not work any more then, look into your mail: your password has been sent.",
			},
		},
		broken: {
			Title: "Something went wrong",
			Lead:  "An error on our side has stopped us. It has been recorded.",
			Hint:  "What you can do",
			Next: []string{
				"Open the link again in a few minutes. If it should not work any more then, look into your mail: your password has been sent.",
			},
		},
	},
	"ru": {
		signUpConfirmed: {
			Title: "Адрес подтверждён",
			Lead:  "Пароль уже отправлен вам по электронной почте. Войдите с ним, и можно начинать.",
			Hint:  "Если письмо не пришло",
			Next: []string{
				"Подождите несколько минут и загляните в папку «Спам».",
				"Письма всё ещё нет? Запросите сброс пароля для этого же адреса, и мы пришлём новую ссылку.",
			},
		},
		passwordConfirmed: {
			Title: "Сброс пароля подтверждён",
			Lead:  "Новый пароль уже отправлен вам по электронной почте. Старый действует, пока вы не войдёте с новым.",
			Hint:  "Если письмо не пришло",
			Next: []string{
				"Подождите несколько минут и загляните в папку «Спам».",
				"Письма всё ещё нет? Запросите сброс пароля ещё раз. Действует только самый новый пароль.",
			},
		},
		linkUseless: {
			Title: "Эта ссылка больше не действует",
			Lead:  "Ссылка срабатывает один раз и только в течение ограниченного времени. Эта уже использована, устарела, заменена более новой или скопирована не полностью.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Если вы уже открывали её или это сделала почтовая программа, пароль вам отправлен: войдите с ним.",
				"Если пароль не пришёл, запросите сброс пароля для этого же адреса, и мы пришлём новую ссылку.",
				"Если вы не завершили регистрацию и ссылка не приходит, зарегистрируйтесь заново.",
			},
		},
		badRequest: {
			Title: "Не удалось разобрать запрос",
			Lead:  "По пути к нам запрос изменился. С вашей учётной записью ничего не произошло.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку ещё раз прямо из письма. Если это не поможет, скопируйте ссылку целиком в адресную строку.",
			},
		},
		wrongMethod: {
			Title: "По этому адресу можно только открыть ссылку",
			Lead:  "Запрос был другого вида. С вашей учётной записью ничего не произошло.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку из письма в браузере.",
			},
		},
		tooLarge: {
			Title: "Запрос слишком велик",
			Lead:  "Чтобы открыть ссылку, никаких данных, кроме неё самой, не нужно. С вашей учётной записью ничего не произошло.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку из письма в браузере.",
			},
		},
		tooMany: {
			Title: "Подождите, прежде чем открыть ссылку ещё раз",
			Lead:  "За короткое время поступило слишком много запросов. Ваша ссылка не использована, с вашей учётной записью ничего не произошло.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку ещё раз через " + waitMark + ".",
			},
		},
		unavailable: {
			Title: "Попробуйте чуть позже",
			Lead:  "Сейчас мы не можем ответить. Дело в нас, а не в вас.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку ещё раз через минуту. Если она уже не сработает, проверьте почту: пароль отправлен.",
			},
		},
		broken: {
			Title: "Что-то пошло не так",
			Lead:  "Нам помешала ошибка на нашей стороне. Она записана.",
			Hint:  "Что можно сделать",
			Next: []string{
				"Откройте ссылку ещё раз через несколько минут. Если она уже не сработает, проверьте почту: пароль отправлен.",
			},
		},
	},
}
