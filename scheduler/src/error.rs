//! Why an event is refused.

/// An event that the scheduler does not take: [`crate::Scheduler::apply`] passes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such node is known.
    #[error("no such node is known")]
    UnknownNode,
    /// No such function is ordered.
    #[error("no such function is ordered")]
    UnknownFunction,
    /// The lease has ended or never was.
    #[error("the lease has ended or never was")]
    UnknownLease,
    /// A node reports a lease of another.
    #[error("the lease is another node's")]
    ForeignLease,
    /// A lease that is to be taken over is known already, or its node has no place for it.
    #[error("the lease is known already, or its node has no room for it or runs the function")]
    Occupied,
    /// There is no earlier version or canary to go back from, or no canary to promote.
    #[error("there is no other version to turn to")]
    NoOtherVersion,
    /// A canary must be another version of the function than the one in force.
    #[error("a canary must be another version than the one in force")]
    SameVersion,
    /// A canary's weight is out of range.
    #[error("a canary's weight must be 1 to 9999 hundredths of a percent")]
    Weight,
    /// A tenant's weight is out of range.
    #[error("a tenant's weight must be 1 to 10000")]
    TenantWeight,
    /// Memory or processors are out of range.
    #[error("memory must be 1 byte to 1 PiB, and processors at most 100000")]
    Size,
    /// A price is out of range.
    #[error("a price must be at most 10^12 micro-units")]
    Price,
    /// Replicas are out of range.
    #[error(
        "replicas must be at most 1000, at least 1 at the most, and the fewest not above the most"
    )]
    Replicas,
    /// Too many regions.
    #[error("an order names at most 16 regions")]
    Regions,
    /// A region's or tenant's name is empty or long.
    #[error("names of regions and tenants must be 1 to 64 bytes")]
    Name,
    /// No replica with any operator.
    #[error("replicas per operator must be at least 1")]
    Spread,
    /// A score is out of range.
    #[error("a score must be 0 to 10000 hundredths of a percent")]
    Score,
    /// A replica that may carry no request.
    #[error("requests in flight per replica must be at least 1")]
    Scaling,
    /// An update that may change nothing.
    #[error("an update must be allowed a replica more, or one less")]
    Rollout,
}

impl Refusal {
    /// A stable code in kebab case.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownNode => "unknown-node",
            Self::UnknownFunction => "unknown-function",
            Self::UnknownLease => "unknown-lease",
            Self::ForeignLease => "foreign-lease",
            Self::Occupied => "lease-occupied",
            Self::NoOtherVersion => "no-other-version",
            Self::SameVersion => "same-version",
            Self::Weight => "canary-weight",
            Self::TenantWeight => "tenant-weight",
            Self::Size => "size-out-of-range",
            Self::Price => "price-out-of-range",
            Self::Replicas => "replicas-out-of-range",
            Self::Regions => "too-many-regions",
            Self::Name => "bad-name",
            Self::Spread => "bad-spread",
            Self::Score => "score-out-of-range",
            Self::Scaling => "bad-scaling",
            Self::Rollout => "bad-rollout",
        }
    }
}
