//! Registrations that an honest node does not send.

use nacre_protocol::api::{RegisterNode, Registered};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{NodeId, OperatorId, OrganisationName};

use super::{note_once_a_minute, score};
use crate::error::{Error, RegistrationError};
use crate::platform::Platform;
use crate::store::incidents::NewIncident;
use crate::store::{commit, nodes};

impl Platform {
    /// Registers a node; what its refusal proves of a node that is known is noted.
    pub(crate) async fn register_and_note(
        &self,
        request: RegisterNode,
        organisation: Option<&OrganisationName>,
    ) -> Result<Registered, Error> {
        let (node, operator) = (request.id, request.operator);
        let statement = IdentityStatement::decode(&request.evidence.statement);
        let done = self.register(request, organisation).await;
        match (&done, statement) {
            // Only its own host can have an enclave vouch for a registration: this one did, for another node.
            (Err(Error::Registration(RegistrationError::BootTaken)), Ok(statement)) => {
                let mut tx = self.store.read().await?;
                let owner = nodes::node_of_boot(&mut tx, &statement.boot_id).await?;
                drop(tx);
                if let Some(owner) = owner {
                    self.note_of(owner, None, score::BOOT_TAKEN).await?;
                }
            }
            // The operator signed this registration before its evidence was looked at.
            (
                Err(Error::Registration(
                    RegistrationError::Unvouched(_)
                    | RegistrationError::Leaf(_)
                    | RegistrationError::NoNonce,
                )),
                _,
            ) => self.note_of(node, Some(operator), score::NOT_BOUND).await?,
            _ => {}
        }
        done
    }

    /// Of a node that is registered, by this operator where one is named: nobody else's word counts against it.
    async fn note_of(
        &self,
        node: NodeId,
        operator: Option<OperatorId>,
        code: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        let Some(known) = nodes::known(&mut tx, &node).await? else {
            return Ok(());
        };
        if operator.is_some_and(|operator| operator != known.operator) {
            return Ok(());
        }
        let incident = NewIncident {
            node,
            boot: known.boot_id,
            code,
            job: None,
        };
        note_once_a_minute(&mut tx, incident, self.clock.now_ms()).await?;
        Ok(commit(tx).await?)
    }
}
