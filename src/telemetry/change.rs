//! What people or machines changed in the system: deploys, configuration, flags, scaling.

use super::id::ServiceId;

/// What kind of change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Another version of a service.
    Deploy,
    /// Other settings.
    Config,
    /// A feature flag.
    Flag,
    /// Another number of instances, or other limits.
    Scale,
    /// Anything else; the description tells.
    Other,
}

impl ChangeKind {
    /// All kinds.
    const ALL: [Self; 5] = [Self::Deploy, Self::Config, Self::Flag, Self::Scale, Self::Other];

    /// As it stands in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Config => "config",
            Self::Flag => "flag",
            Self::Scale => "scale",
            Self::Other => "other",
        }
    }

    /// The reverse of [`ChangeKind::word`].
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Change {
    /// When, Unix nanoseconds; for a change that was noticed and not told, when it was first seen.
    pub at_ns: i64,
    /// Whose; `None` for one that is nobody's in particular.
    pub service: Option<ServiceId>,
    /// What kind.
    pub kind: ChangeKind,
    /// The new version, image or value; empty when not told.
    pub version: String,
    /// What was done, in the words of the source; empty when not told. Hostile text.
    pub description: String,
    /// Where it is known from: a file's name, or for example `service.version of spans`.
    pub source: String,
}

impl Change {
    /// Whether the change brought this version. An image carries the version as its tag: `registry/cart:1.4` is `1.4`.
    pub fn is_of_version(&self, version: &str) -> bool {
        let tag = |text: &str| text.rsplit([':', '@']).next().unwrap_or_default().trim_start_matches('v').to_owned();
        !self.version.is_empty() && tag(&self.version) == tag(version)
    }
}
