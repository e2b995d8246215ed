//! Webhooks: whoever laid a job in is told when it has ended.
//!
//! That something is to be told is noted in the transaction that ends the job, in the queue; so it is told at least once,
//! whoever is killed. A job ends once, so its id is the notice's too (`nacre-webhook-id`): who has had it passes it over. What is posted is the job as `GET /v1/jobs/{id}` shows it, never a result.
//!
//! **Signature.** `nacre-webhook-signature: t={Unix ms},v1={hex}`, HMAC-SHA256 over `{t}.{body}`; the key is the API key's own
//! (`GET /v1/webhook-secret`), the text as it is given. A receiver compares it, and refuses a `t` that is too old.
//!
//! **Where to.** The URL is a caller's, and this machine's neighbours are not the caller's to speak to (server-side request
//! forgery): https only, no redirect is followed, no proxy is asked, and each address is looked at after the name is
//! resolved, at the very moment of connecting, so that a name cannot change its mind in between.

mod address;

use core::time::Duration;
use std::sync::Arc;

use aws_lc_rs::hmac;
use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::encoding::base64url;
use nacre_protocol::ids::JobId;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde::Serialize;

use super::settle::WEBHOOK;
use super::view;
use crate::error::{Error, JobError};
use crate::platform::{Platform, random_id};
use crate::store::{commit, jobs, queue, secrets};
use crate::token::KeyId;
use address::{PublicOnly, is_public};

/// Longest URL.
const MAX_URL: usize = 2048;
/// How long the receiver may take for its answer.
const ANSWER: Duration = Duration::from_secs(10);
/// For how long a notice is one's own: longer than a try takes. Whoever is killed in the middle of one leaves it for so long.
const TAKEN_MS: u64 = 20_000;
/// Notices that are posted at a time.
const AT_ONCE: u32 = 16;
/// The wait after the first failure; each further one doubles it.
const FIRST_WAIT_MS: u64 = 1_000;
const LONGEST_WAIT_MS: u64 = 3600 * 1000;
/// Tries, over about half a day.
const MAX_TRIES: u32 = 24;
/// What a receiver knows a notice by that it has had before.
const ID: &str = "nacre-webhook-id";
/// What the receiver checks.
const SIGNATURE: &str = "nacre-webhook-signature";

/// The key that an API key's webhooks are signed with.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct WebhookSecret {
    /// The key of HMAC-SHA256: this text's bytes.
    pub(crate) secret: String,
}

/// Who posts.
#[derive(Debug)]
pub(crate) struct Webhooks {
    client: Client,
    private: bool,
    key: hmac::Key,
}

impl Webhooks {
    /// `key` is everybody's: each API key's own is made of it.
    pub(crate) fn new(private: bool, key: &[u8; 32]) -> Result<Self, Error> {
        let mut client = Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(!private)
            .user_agent("nacre-control-plane");
        if !private {
            client = client.dns_resolver(Arc::new(PublicOnly));
        }
        let client = client.build();
        Ok(Self {
            client: client.map_err(|_| Error::Internal("no client for webhooks"))?,
            private,
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        })
    }

    /// Whether anything is posted there. Names are looked up when it is posted.
    pub(super) fn check(&self, url: &str) -> Result<Url, JobError> {
        let refused = JobError::Webhook;
        if url.len() > MAX_URL {
            return Err(refused);
        }
        let url: Url = url.parse().map_err(|_| JobError::Webhook)?;
        let plain = url.username().is_empty() && url.password().is_none();
        let scheme = url.scheme() == "https" || self.private && url.scheme() == "http";
        // No resolver is asked about an address.
        let host = match url.host() {
            None => false,
            Some(url::Host::Domain(_)) => true,
            Some(url::Host::Ipv4(ip)) => self.private || is_public(ip.into()),
            Some(url::Host::Ipv6(ip)) => self.private || is_public(ip.into()),
        };
        if plain && scheme && host && url.fragment().is_none() {
            Ok(url)
        } else {
            Err(refused)
        }
    }

    fn secret(&self, owner: &str) -> String {
        let tag = hmac::sign(&self.key, format!("nacre/webhook/v1 {owner}").as_bytes());
        base64url(tag.as_ref())
    }

    fn signature(&self, owner: &str, now_ms: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret(owner).as_bytes());
        let tag = hmac::sign(&key, format!("{now_ms}.{body}").as_bytes());
        format!("t={now_ms},v1={}", hex::encode(tag))
    }
}

impl Platform {
    /// The key of the caller's webhooks.
    pub(crate) fn webhook_secret(&self, owner: &KeyId) -> WebhookSecret {
        WebhookSecret {
            secret: self.webhooks.secret(owner.as_str()),
        }
    }

    /// Posts what is due.
    pub(crate) async fn post_webhooks(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now_ms();
            let holder = hex::encode(random_id()?);
            let mut tx = self.store.write_alone().await?;
            let until = now + TAKEN_MS;
            let taken = queue::take(&mut tx, WEBHOOK, AT_ONCE, &holder, now, until).await?;
            if taken.is_empty() {
                return Ok(commit(tx).await?);
            }
            failpoint::before(Step::TakeNotices);
            commit(tx).await?;
            failpoint::after(Step::TakeNotices);
            let posts = taken.iter().map(|notice| self.post_one(notice, &holder));
            for posted in futures_util::future::join_all(posts).await {
                posted?;
            }
        }
    }

    async fn post_one(&self, notice: &queue::Taken, holder: &str) -> Result<(), Error> {
        let told = match notice.id.parse::<JobId>() {
            Ok(id) => self.tell(&id).await?,
            Err(_) => true,
        };
        let mut tx = self.store.write_alone().await?;
        if told || notice.tries >= MAX_TRIES {
            queue::finish(&mut tx, WEBHOOK, &notice.id, holder).await?;
        } else {
            let doubled = FIRST_WAIT_MS << notice.tries.saturating_sub(1).min(20);
            let due = self.clock.now_ms() + doubled.min(LONGEST_WAIT_MS);
            queue::postpone(&mut tx, WEBHOOK, &notice.id, holder, due).await?;
        }
        failpoint::before(Step::EndNotice);
        commit(tx).await?;
        failpoint::after(Step::EndNotice);
        Ok(())
    }

    /// Posts one notice. True if there is nothing more to do about it.
    async fn tell(&self, id: &JobId) -> Result<bool, Error> {
        let mut tx = self.store.read().await?;
        let Some(job) = jobs::get(&mut tx, id).await? else {
            return Ok(true);
        };
        let settlement = jobs::settlement(&mut tx, id).await?;
        drop(tx);
        let Some(Ok(url)) = job.webhook.as_deref().map(|url| self.webhooks.check(url)) else {
            return Ok(true);
        };
        let body = serde_json::to_string(&view::job(&job, settlement.as_ref()));
        let body = body.map_err(|_| Error::Internal("a job does not become JSON"))?;
        let now = self.clock.now_ms();
        let signature = self.webhooks.signature(&job.owner, now, &body);
        let request = self.webhooks.client.post(url);
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(ID, id.to_string())
            .header(SIGNATURE, signature);
        failpoint::before(Step::Post);
        let answer = request.body(body).send().await;
        failpoint::after(Step::Post);
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(true),
            Ok(answer) => {
                tracing::info!(job = %id, status = %answer.status(), "webhook not taken");
                Ok(false)
            }
            Err(error) => {
                tracing::info!(job = %id, %error, "webhook not delivered");
                Ok(false)
            }
        }
    }
}

/// The key that all control planes of the database make the API keys' own of.
pub(in crate::platform) async fn master_key(
    tx: &mut crate::store::Transaction,
) -> Result<[u8; 32], Error> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)?;
    Ok(secrets::get_or_put(tx, "webhooks", &fresh).await?)
}
