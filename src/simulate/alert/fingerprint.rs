//! By which number Prometheus and Alertmanager know a set of labels.

use std::collections::BTreeMap;

/// FNV-1a (64 bits) over names and values, each followed by a byte that is in no UTF-8 text (`common/model`,
/// `labelSetToFingerprint`).
pub(super) fn fingerprint(labels: &BTreeMap<&str, &str>) -> u64 {
    let texts = labels.iter().flat_map(|(name, value)| [name.bytes(), value.bytes()]);
    texts
        .flat_map(|text| text.chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TestLabelsToSignature` of prometheus/common.
    #[test]
    fn it_is_the_one_that_prometheus_computes() {
        assert_eq!(fingerprint(&BTreeMap::new()), 14_695_981_039_346_656_037);
        let labels = BTreeMap::from([("name", "garland, briggs"), ("fear", "love is not enough")]);
        assert_eq!(fingerprint(&labels), 5_799_056_148_416_392_346);
    }
}
