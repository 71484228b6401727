//! Large files are decoded in pieces, side by side on all cores, and joined in the order of the pieces.

use std::path::Path;

use rayon::prelude::*;

use super::Telemetry;

/// About how many bytes make a piece: enough that joining the pieces costs nothing beside decoding them.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Decodes every piece that `next` gives until it gives none, and adds what they hold to `out`, in their order.
///
/// Where pieces end must follow from the file alone, so that the result does not depend on threads. While pieces are
/// decoded, the next ones are fetched.
pub(crate) fn decode<P: Send + Sync>(
    path: &Path,
    out: &mut Telemetry,
    mut next: impl FnMut() -> Option<P> + Send,
    decode: impl Fn(&P, &mut Telemetry) + Sync,
) {
    let at_once = 2 * rayon::current_num_threads();
    let mut fetch = || std::iter::from_fn(&mut next).take(at_once).collect::<Vec<P>>();
    let decode_one = |piece: &P| {
        let mut part = Telemetry::default();
        decode(piece, &mut part);
        part
    };
    let mut parts = Vec::new();
    let mut pieces = fetch();
    while !pieces.is_empty() {
        let (decoded, following) =
            rayon::join(|| pieces.par_iter().map(decode_one).collect::<Vec<Telemetry>>(), &mut fetch);
        parts.extend(decoded);
        pieces = following;
    }
    out.absorb(path, parts);
}
