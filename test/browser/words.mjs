// What people are told: the subjects of mails, the titles of pages.
export const words = {
  en: {
    mail: {
      confirm: 'Confirm your e-mail address',
      reset: 'Password reset requested',
      password: 'Your password for Financelime',
    },
    confirmed: 'Your address is confirmed',
    resetConfirmed: 'The password reset is confirmed',
    useless: 'This link does not work any more',
    todo: 'What you can do',
    next: 'If no password has come, ask for a password reset with the same address, and we send you a new link.',
    wrongMethod: 'This address is only for opening a link',
  },
  ru: {
    mail: {
      confirm: 'Подтвердите адрес электронной почты',
      reset: 'Запрос на сброс пароля',
      password: 'Ваш пароль для Financelime',
    },
    confirmed: 'Адрес подтверждён',
    resetConfirmed: 'Сброс пароля подтверждён',
    useless: 'Эта ссылка больше не действует',
    todo: 'Что можно сделать',
    next: 'Если пароль не пришёл, запросите сброс пароля для этого же адреса, и мы пришлём новую ссылку.',
    wrongMethod: 'По этому адресу можно только открыть ссылку',
  },
};
