//! What an nginx in front of pushctl enforces.

/// Names of the directives that the front enforces; `all` stands for every directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontEnforces(pub Vec<String>);

impl FrontEnforces {
    /// Every directive is enforced by the front.
    #[must_use]
    pub fn all() -> Self {
        Self(vec!["all".to_owned()])
    }

    /// Whether the front enforces the directive of this name.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name || known == "all")
    }
}
