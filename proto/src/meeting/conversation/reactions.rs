//! Reactions: a closed set, so that nothing has to be made safe for a screen; told once and forgotten.

use std::time::Duration;

use bincode::{Decode, Encode};

/// A reaction is shown for so long, and not delivered later.
pub const REACTION_LIFETIME: Duration = Duration::from_secs(8);

/// What somebody feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Reaction {
    /// 👍
    ThumbsUp,
    /// 👎
    ThumbsDown,
    /// 👏
    Clap,
    /// ♥
    Heart,
    /// 😂
    Laugh,
    /// 😮
    Surprise,
    /// 🎉
    Celebrate,
    /// 🤔
    Think,
}

impl Reaction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ThumbsUp,
        Self::ThumbsDown,
        Self::Clap,
        Self::Heart,
        Self::Laugh,
        Self::Surprise,
        Self::Celebrate,
        Self::Think,
    ];

    /// Its name for programs and for typing.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThumbsUp => "thumbs_up",
            Self::ThumbsDown => "thumbs_down",
            Self::Clap => "clap",
            Self::Heart => "heart",
            Self::Laugh => "laugh",
            Self::Surprise => "surprise",
            Self::Celebrate => "celebrate",
            Self::Think => "think",
        }
    }

    /// Its picture.
    #[must_use]
    pub fn emoji(self) -> &'static str {
        match self {
            Self::ThumbsUp => "👍",
            Self::ThumbsDown => "👎",
            Self::Clap => "👏",
            Self::Heart => "♥",
            Self::Laugh => "😂",
            Self::Surprise => "😮",
            Self::Celebrate => "🎉",
            Self::Think => "🤔",
        }
    }
}

/// A word that names no reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reaction is one of thumbs_up, thumbs_down, clap, heart, laugh, surprise, celebrate, think")]
pub struct UnknownReaction;

impl std::str::FromStr for Reaction {
    type Err = UnknownReaction;
    /// By name or by picture.
    fn from_str(word: &str) -> Result<Self, UnknownReaction> {
        let bare = word.trim_end_matches('\u{FE0F}');
        Self::ALL
            .into_iter()
            .find(|reaction| reaction.as_str() == word || reaction.emoji() == bare)
            .ok_or(UnknownReaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_pictures_are_read_again() {
        for reaction in Reaction::ALL {
            assert_eq!(reaction.as_str().parse(), Ok(reaction));
            assert_eq!(reaction.emoji().parse(), Ok(reaction));
            assert!(UnknownReaction.to_string().contains(reaction.as_str()));
        }
        assert_eq!("skull".parse::<Reaction>(), Err(UnknownReaction));
    }
}
