//! Walks the journey of a user with the Rust client of openapi-generator.

use openapi::apis::authorization_api::{
    create_access_token, refresh_access_token, verify_access_token, CreateAccessTokenError, RefreshAccessTokenError,
};
use openapi::apis::configuration::Configuration;
use openapi::apis::service_api::{get_jwks, get_version};
use openapi::apis::session_api::{get_list_active_sessions, revoke_refresh_token, revoke_session, GetListActiveSessionsError};
use openapi::apis::user_api::{confirm_user_email, signup, SignupError};
use openapi::apis::Error;
use openapi::models::{
    AccessTokenResponse, ConfirmationResponsePurpose, CreateAccessTokenFailure404Message, CreateAccessTokenRequest, Device, JwkKty,
    RefreshAccessTokenFailure404Message, RefreshAccessTokenRequest, RevokeRefreshTokenRequest, SignUpFailure404Message,
    SignUpFailure409Message, SignUpRequest,
};
use std::env;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} must be set"))
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Returns a configuration with an access token, or none. The generated code sends no Accept header, and the service shows a page to clients
/// that accept everything: the HTTP client asks for JSON.
fn configuration(access_token: Option<&str>) -> Result<Configuration> {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert(reqwest::header::ACCEPT, "application/json".parse()?);
    Ok(Configuration {
        base_path: setting("AUTH_URL"),
        client: reqwest::Client::builder().default_headers(headers).build()?,
        bearer_access_token: access_token.map(str::to_owned),
        ..Configuration::default()
    })
}

/// Returns the typed body of a failure.
fn failure<T, E>(result: std::result::Result<T, Error<E>>) -> E {
    match result {
        Err(Error::ResponseError(response)) => response.entity.unwrap_or_else(|| panic!("no failure: {}", response.content)),
        Err(other) => panic!("no response: {other}"),
        Ok(_) => panic!("no failure"),
    }
}

/// Waits for what a user reads in a mail.
async fn inbox(what: &str, email: &str) -> Result<String> {
    let response = reqwest::get(format!("{}/{what}?to={email}", setting("INBOX"))).await?.error_for_status()?;
    Ok(response.text().await?.trim().to_owned())
}

/// Signs up, with failures first, and returns the password.
async fn join(api: &Configuration, email: &str) -> Result<String> {
    let code = setting("AUTH_INVITE");
    let sign_up = |email: &str, code: &str| {
        let request = SignUpRequest::new(email.to_owned(), code.to_owned(), "en".to_owned());
        async move { signup(api, &new_id(), request).await }
    };
    match failure(sign_up(email, "no-such-code").await) {
        SignupError::Status404(f) => match f.message {
            SignUpFailure404Message::InviteNotFound => {}
        },
        other => panic!("an unknown code gives {other:?}"),
    }
    match failure(sign_up("nobody@localhost", &code).await) {
        SignupError::Status400(f) => assert_eq!(f.parameters, Some(vec!["email".to_owned()])),
        other => panic!("a malformed address gives {other:?}"),
    }
    sign_up(email, &code).await?;
    match failure(sign_up(email, &code).await) {
        SignupError::Status409(f) => match f.message {
            SignUpFailure409Message::UserAlreadyExist => {}
            SignUpFailure409Message::InviteHasEnded => panic!("the invite code has ended"),
        },
        other => panic!("a second sign-up gives {other:?}"),
    }

    let link = inbox("link", email).await?;
    let (key, rid) = link.split_once(' ').expect("a key and a rid");
    let confirmed = confirm_user_email(api, key, rid).await?;
    assert_eq!(confirmed.purpose, ConfirmationResponsePurpose::Signup);
    assert!(!confirmed.message.is_empty());
    inbox("password", email).await
}

/// Logs in, after an attempt with a wrong password.
async fn login(api: &Configuration, email: &str, password: &str) -> Result<AccessTokenResponse> {
    let attempt = |password: &str| {
        let request = CreateAccessTokenRequest::new(email.to_owned(), password.to_owned(), "rust_v1".to_owned(), Device::new());
        async move { create_access_token(api, &new_id(), request).await }
    };
    match failure(attempt("wrong").await) {
        CreateAccessTokenError::Status404(f) => match f.message {
            CreateAccessTokenFailure404Message::UserNotFound => {}
        },
        other => panic!("a wrong password gives {other:?}"),
    }
    Ok(attempt(password).await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let email = format!("rust-{}@example.com", new_id());
    let api = configuration(None)?;
    assert!(!get_version(&api, &new_id()).await?.number.is_empty());
    let password = join(&api, &email).await?;
    let tokens = login(&api, &email, &password).await?;
    let mine = configuration(Some(&tokens.access_token))?;

    let sessions = get_list_active_sessions(&mine, &new_id()).await?;
    assert!(sessions.len() == 1 && sessions[0].current && sessions[0].session_id == tokens.session_id);
    let age = chrono::Utc::now().signed_duration_since(sessions[0].created_at);
    assert!(age.num_minutes().abs() < 60, "the session is {age} old");
    verify_access_token(&mine, None).await?;

    let request = |token: &str| RefreshAccessTokenRequest::new(token.to_owned());
    let renewed = refresh_access_token(&api, &new_id(), request(&tokens.refresh_token)).await?;
    assert_eq!(renewed.session_id, tokens.session_id);
    assert_ne!(renewed.refresh_token, tokens.refresh_token);

    match failure(get_list_active_sessions(&configuration(Some("bad"))?, &new_id()).await) {
        GetListActiveSessionsError::Status401(f) => assert_eq!(f.code, 401),
        other => panic!("a bad token gives {other:?}"),
    }

    revoke_refresh_token(&mine, &new_id(), RevokeRefreshTokenRequest::new(tokens.session_id.clone())).await?;
    revoke_session(&mine, &tokens.session_id, None).await?;
    match failure(refresh_access_token(&api, &new_id(), request(&renewed.refresh_token)).await) {
        RefreshAccessTokenError::Status404(f) => match f.message {
            RefreshAccessTokenFailure404Message::UserNotFound => {}
        },
        other => panic!("the refresh of an ended session gives {other:?}"),
    }

    assert_eq!(get_jwks(&api, None, None).await?.keys[0].kty, JwkKty::Ec);
    Ok(())
}
