//! Names of pods as Kubernetes gives them.

use crate::simulate::random::Random;
use crate::simulate::system::{Role, Service};

/// Letters and digits that form no words (Kubernetes' `rand.SafeEncodeString`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// `cart-6b5d8f7c94-h7jrw` of a deployment, `mysql-0` of what keeps state, the host's name of what is outside.
pub(super) fn pod_name(service: &Service, version: &str, ordinal: u32, random: &mut Random) -> String {
    let name = &service.name;
    match service.role {
        Role::Service => {
            // Pods of one version have one replica set: the same letters for the same service and version.
            let mut template = Random::of_part(0, &format!("{name}@{version}"));
            format!("{name}-{}-{}", letters(10, &mut template), letters(5, random))
        }
        Role::Database(_) | Role::Cache(_) | Role::Queue(_) => format!("{name}-{ordinal}"),
        Role::External if ordinal == 0 => name.clone(),
        Role::External => format!("{name}-{ordinal}"),
    }
}

fn letters(count: usize, random: &mut Random) -> String {
    (0..count).map(|_| char::from(LETTERS[random.below(LETTERS.len())])).collect()
}
