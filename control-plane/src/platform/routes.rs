//! Routes: for gateways, which need nothing else of a function.

use nacre_protocol::api::Page;
use nacre_protocol::api::market::FunctionRoutes;
use nacre_protocol::ids::{FunctionName, OrganisationName};

use super::Platform;
use crate::error::Error;
use crate::store::{functions, orders};

/// What cursors of an organisation's list are sealed for.
const OWN: &str = "routes";
/// The same of the list of all; nobody's organisation opens these.
const ALL: &str = "all routes";

/// Whose functions a gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Served {
    /// Those of one organisation; the others are not there.
    Of(OrganisationName),
    /// All of them.
    All,
}

impl Served {
    /// The organisation, where it is one.
    pub(super) fn organisation(&self) -> Option<&OrganisationName> {
        match self {
            Self::Of(organisation) => Some(organisation),
            Self::All => None,
        }
    }
}

impl Platform {
    /// A page of the routes of functions that are deployed, by name.
    pub(crate) async fn routes(
        &self,
        served: &Served,
        after: &str,
        limit: u32,
    ) -> Result<Page<FunctionRoutes>, Error> {
        let nobody = OrganisationName::default();
        let (list, of) = match served {
            Served::Of(organisation) => (OWN, organisation),
            Served::All => (ALL, &nobody),
        };
        let name = |text: &str| text.parse::<FunctionName>().ok();
        let after = self.cursors.open(list, of, after, name)?;
        let after = after.as_ref().map_or("", FunctionName::as_str);
        let mut tx = self.store.read().await?;
        let names = functions::deployed(&mut tx, served.organisation(), after, limit + 1).await?;
        let page = self
            .cursors
            .page(list, of, names, limit, ToString::to_string);
        let mut items = Vec::with_capacity(page.items.len());
        for function in page.items {
            let routes = orders::routes(&mut tx, &function).await?;
            items.push(FunctionRoutes { function, routes });
        }
        let next = page.next;
        Ok(Page { items, next })
    }
}
