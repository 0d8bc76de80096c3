//! Scopes: what a client may call.

use std::fmt;

/// A part of the API that a client needs permission for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `PriceService`, and subscriptions to prices.
    Prices,
    /// `LongShortService`, and subscriptions to long/short ratios.
    LongShort,
    /// `IndexService`, and subscriptions to indices and comparisons.
    Indices,
    /// `SignalService`, and subscriptions to signals.
    Signals,
    /// `OverviewService`.
    Overview,
    /// `CatalogService`.
    Catalog,
    /// Server reflection.
    Reflection,
}

impl Scope {
    pub const ALL: [Self; 7] =
        [Self::Prices, Self::LongShort, Self::Indices, Self::Signals, Self::Overview, Self::Catalog, Self::Reflection];

    /// The name in settings and tokens: `prices`, `long_short`, `indices`, `signals`, `overview`, `catalog`,
    /// `reflection`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prices => "prices",
            Self::LongShort => "long_short",
            Self::Indices => "indices",
            Self::Signals => "signals",
            Self::Overview => "overview",
            Self::Catalog => "catalog",
            Self::Reflection => "reflection",
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope; `all` in settings and tokens.
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < scopes.len() {
            set |= 1 << scopes[index] as u8;
            index += 1;
        }
        Self(set)
    }

    /// Parses the name of a scope, or `all`.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "all" {
            return Some(Self::ALL);
        }
        Scope::ALL.into_iter().find(|scope| scope.as_str() == name).map(|scope| Self::of(&[scope]))
    }

    /// The union.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn contains(self, scope: Scope) -> bool {
        self.has_any_of(Self::of(&[scope]))
    }

    /// True when the sets intersect.
    pub(crate) fn has_any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let names: Vec<_> = Scope::ALL.into_iter().filter(|scope| self.contains(*scope)).map(Scope::as_str).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_sets() {
        let two = Scopes::parse("prices").expect("a scope").and(Scopes::of(&[Scope::Reflection]));
        assert_eq!(two.to_string(), "prices,reflection");
        assert!(two.contains(Scope::Prices) && !two.contains(Scope::Catalog));
        assert!(Scope::ALL.into_iter().all(|scope| Scopes::ALL.contains(scope)));
        assert_eq!(Scopes::parse("all"), Some(Scopes::ALL));
        assert_eq!((Scopes::parse("Prices"), Scopes::parse("")), (None, None));
    }
}
