//! Who may use the relay: everybody, listed addresses, or holders of a token.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    ids::RelayId,
    policy::attestation::IssuerId,
    relay::{
        limits::MediaRate,
        machine::{CloseReason, Relay},
        rate_limiter::RateLimiter,
        session::SessionId,
        token::{AccessToken, TokenError, TokenId, TokenQuota},
    },
    time::{Now, Timestamp, UnixSeconds},
    wire::relay_message::{Refusable, RefusalCode, TokenBytes},
};

/// Tokens whose use is remembered. Reason: 1 MiB; an organisation needs one for each customer or department, not one for
/// each person. When full, tokens that nobody uses and that have no traffic quota are forgotten first; if there is none,
/// new tokens are refused.
pub const TOKENS_MAX: usize = 4_096;
/// Tokens that a session may show in vain before it is closed: each costs a signature check. A member tries each of its 8
/// tokens for each of 12 rooms at worst.
pub const BAD_TOKENS_MAX: u8 = 96;
/// How much of its bitrate a token's sessions may send at once.
const TOKEN_BURST: Duration = Duration::from_secs(2);
/// The smallest burst in bytes: a few of the largest frames.
const TOKEN_BURST_BYTES_MIN: u64 = 8 * 1024;

/// Who may use a relay. The default is everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether anybody may use it. Otherwise a session needs a listed address or a token.
    pub open: bool,
    /// The relay itself: tokens may be for certain relays only.
    pub relay: RelayId,
    /// Whose tokens are accepted.
    pub issuers: BTreeSet<IssuerId>,
    /// Tokens that were taken back.
    pub revoked: BTreeSet<TokenId>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            open: true,
            relay: RelayId([0; 32]),
            issuers: BTreeSet::new(),
            revoked: BTreeSet::new(),
        }
    }
}

impl Access {
    fn check(&self, bytes: &[u8], now: UnixSeconds) -> Result<AccessToken, TokenError> {
        let token = AccessToken::from_bytes(bytes)?;
        if !self.issuers.contains(&token.issuer()) {
            return Err(TokenError::OtherIssuer);
        }
        let id = token.verify(Some(self.relay), now)?;
        if self.revoked.contains(&id) {
            return Err(TokenError::Revoked);
        }
        Ok(token)
    }
}

/// What a token has used, to be kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUsage {
    /// Which.
    pub token: TokenId,
    /// Bytes forwarded for it so far.
    pub bytes: u64,
    /// After this it need not be remembered.
    pub valid_until: UnixSeconds,
}

/// A token in use, or remembered.
#[derive(Debug)]
pub(super) struct TokenUse {
    /// `None` until a session shows it after a restart.
    issuer: Option<IssuerId>,
    pub(super) sessions: usize,
    pub(super) media: Option<RateLimiter>,
    pub(super) quota: TokenQuota,
    pub(super) bytes: u64,
    valid_until: UnixSeconds,
    expires: Option<Timestamp>,
}

impl TokenUse {
    /// Whether the traffic that it allows is used up.
    pub(super) fn is_used_up(&self) -> bool {
        self.quota.bytes.is_some_and(|max| self.bytes >= max)
    }
}

/// Tokens by number.
#[derive(Debug, Default)]
pub(super) struct TokenBook {
    pub(super) uses: BTreeMap<TokenId, TokenUse>,
}

impl TokenBook {
    pub(super) fn restored(usage: &[TokenUsage]) -> Self {
        let remembered = |usage: &TokenUsage| TokenUse {
            issuer: None,
            sessions: 0,
            media: None,
            quota: TokenQuota::default(),
            bytes: usage.bytes,
            valid_until: usage.valid_until,
            expires: None,
        };
        let uses = usage.iter().take(TOKENS_MAX);
        Self {
            uses: uses.map(|usage| (usage.token, remembered(usage))).collect(),
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.uses.values().filter(|token| token.sessions > 0).count()
    }

    fn usage(&self) -> Vec<TokenUsage> {
        let used = self.uses.iter().filter(|(_, token)| token.bytes > 0);
        used.map(|(&token, state)| TokenUsage {
            token,
            bytes: state.bytes,
            valid_until: state.valid_until,
        })
        .collect()
    }

    /// Makes room for one more.
    fn has_room(&mut self, now: UnixSeconds) -> bool {
        if self.uses.len() >= TOKENS_MAX {
            self.uses
                .retain(|_, token| token.sessions > 0 || (now < token.valid_until && token.bytes > 0));
        }
        self.uses.len() < TOKENS_MAX
    }

    fn enter(&mut self, now: Now, token: &AccessToken) -> &mut TokenUse {
        let terms = token.terms();
        let entry = self.uses.entry(token.id()).or_insert_with(|| TokenUse {
            issuer: None,
            sessions: 0,
            media: None,
            quota: terms.quota,
            bytes: 0,
            valid_until: terms.valid_until,
            expires: None,
        });
        if entry.issuer.is_none() {
            let left = Duration::from_secs(terms.valid_until.0.saturating_sub(now.unix.0));
            entry.issuer = Some(token.issuer());
            entry.quota = terms.quota;
            entry.media = terms
                .quota
                .bits_per_second
                .map(|bits| limiter(bits, now.monotonic));
            entry.valid_until = terms.valid_until;
            entry.expires = Some(now.monotonic + left);
        }
        entry
    }

    /// When the next token that is in use expires.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let in_use = self.uses.values().filter(|token| token.sessions > 0);
        in_use.filter_map(|token| token.expires).min()
    }

    pub(super) fn release(&mut self, token: TokenId) {
        if let Some(token) = self.uses.get_mut(&token) {
            token.sessions -= 1;
        }
    }
}

fn limiter(bits_per_second: u64, now: Timestamp) -> RateLimiter {
    let burst = (bits_per_second / 8)
        .saturating_mul(TOKEN_BURST.as_secs())
        .max(TOKEN_BURST_BYTES_MIN);
    let rate = MediaRate {
        bits_per_second,
        burst_bytes: u32::try_from(burst).unwrap_or(u32::MAX),
    };
    RateLimiter::media(rate, now)
}

/// The refusal's code and sentence for a token that is not accepted.
fn refusal(error: TokenError) -> (RefusalCode, String) {
    let code = match error {
        TokenError::Expired(_) | TokenError::NotYetValid(_) => RefusalCode::TokenExpired,
        _ => RefusalCode::TokenInvalid,
    };
    (code, error.to_string())
}

impl Relay {
    /// Whether a session may join a room with this token. A valid token is the session's from then on.
    pub(super) fn may_enter(
        &mut self,
        now: Now,
        id: SessionId,
        token: Option<&TokenBytes>,
    ) -> Result<(), (RefusalCode, String)> {
        let Some(session) = self.session_ref(id) else {
            return Ok(());
        };
        let (own, listed) = (session.token, session.listed);
        if self.access.open || listed {
            return Ok(());
        }
        let Some(token) = token else {
            return match own {
                Some(own) => self.may_go_on(own),
                None if self.access.issuers.is_empty() => Err((
                    RefusalCode::AddressNotAllowed,
                    "this relay serves other addresses only".into(),
                )),
                None => Err((
                    RefusalCode::TokenRequired,
                    "this relay asks for a token; its operator gives them out".into(),
                )),
            };
        };
        match self.access.check(token, now.unix) {
            Ok(token) => self.take_token(now, id, own, &token),
            Err(error) => {
                if let Some(session) = self.session(id) {
                    session.bad_tokens += 1;
                    if session.bad_tokens >= BAD_TOKENS_MAX {
                        self.close(id, CloseReason::Refused);
                    }
                }
                Err(refusal(error))
            }
        }
    }

    fn take_token(
        &mut self,
        now: Now,
        id: SessionId,
        own: Option<TokenId>,
        token: &AccessToken,
    ) -> Result<(), (RefusalCode, String)> {
        let number = token.id();
        if own == Some(number) {
            return self.may_go_on(number);
        }
        if own.is_some() {
            let detail = "this session uses another token already".to_owned();
            return Err((RefusalCode::TokenInvalid, detail));
        }
        if !self.tokens.uses.contains_key(&number) && !self.tokens.has_room(now.unix) {
            let detail = "this relay knows as many tokens as it can".to_owned();
            return Err((RefusalCode::TokenSessionsFull, detail));
        }
        let entry = self.tokens.enter(now, token);
        if let Some(max) = entry.quota.sessions
            && entry.sessions >= max as usize
        {
            let detail = format!("{max} sessions may use this token at one time, and do");
            return Err((RefusalCode::TokenSessionsFull, detail));
        }
        self.may_go_on(number)?;
        if let Some(entry) = self.tokens.uses.get_mut(&number) {
            entry.sessions += 1;
        }
        if let Some(session) = self.session(id) {
            session.token = Some(number);
        }
        Ok(())
    }

    fn may_go_on(&self, token: TokenId) -> Result<(), (RefusalCode, String)> {
        if self.tokens.uses.get(&token).is_some_and(TokenUse::is_used_up) {
            let detail = "the traffic that this token allows is used up".to_owned();
            return Err((RefusalCode::TokenTraffic, detail));
        }
        Ok(())
    }

    /// Replaces who may use the relay. Sessions that now may not are told and closed; the others notice nothing.
    pub fn set_access(&mut self, access: Access) {
        self.access = access;
        for id in self.session_ids() {
            self.reconsider(id);
        }
    }

    /// Whether the session's address is listed, after the list changed. [`Self::set_access`] then draws the consequences.
    pub fn note_listed(&mut self, id: SessionId, listed: bool) {
        if let Some(session) = self.session(id) {
            session.listed = listed;
        }
    }

    fn reconsider(&mut self, id: SessionId) {
        let Some(session) = self.session_ref(id) else {
            return;
        };
        if self.access.open || session.listed {
            return;
        }
        let objection = match session.token {
            Some(token) if self.access.revoked.contains(&token) => Some(refusal(TokenError::Revoked)),
            Some(token) => {
                let issuer = self.tokens.uses.get(&token).and_then(|token| token.issuer);
                let accepted = issuer.is_some_and(|issuer| self.access.issuers.contains(&issuer));
                (!accepted).then(|| refusal(TokenError::OtherIssuer))
            }
            // It has not joined a room yet, and may still show one.
            None if session.rooms.is_empty() => None,
            None if self.access.issuers.is_empty() => Some((
                RefusalCode::AddressNotAllowed,
                "this relay now serves other addresses only".into(),
            )),
            None => Some((
                RefusalCode::TokenRequired,
                "this relay now asks for a token".into(),
            )),
        };
        if let Some((code, detail)) = objection {
            self.expel(id, code, &detail);
        }
    }

    fn expel(&mut self, id: SessionId, code: RefusalCode, detail: &str) {
        self.refuse(id, Refusable::Session, code, detail);
        self.close(id, CloseReason::Refused);
    }

    /// Ends the sessions of tokens that hold no longer.
    pub(super) fn expire_tokens(&mut self, now: Timestamp) {
        if self.tokens.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        let expired = |token: &TokenUse| token.expires.is_some_and(|at| at <= now);
        let gone: BTreeSet<TokenId> = self
            .tokens
            .uses
            .iter()
            .filter(|(_, token)| expired(token))
            .map(|(&id, _)| id)
            .collect();
        for id in self.session_ids() {
            let Some(session) = self.session(id) else { continue };
            let Some(token) = session.token.filter(|token| gone.contains(token)) else {
                continue;
            };
            // Its place goes at once; the session ends when it was told.
            session.token = None;
            self.tokens.release(token);
            self.expel(id, RefusalCode::TokenExpired, "the token expired");
        }
        self.tokens.uses.retain(|id, _| !gone.contains(id));
    }

    /// What tokens have used, to be kept over a restart.
    #[must_use]
    pub fn token_usage(&self) -> Vec<TokenUsage> {
        self.tokens.usage()
    }
}
