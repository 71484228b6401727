//! Host names as they stand in labels, reduced to the service that they name.

/// The name behind an address: `cart.shop.svc.cluster.local:8080` is `cart`, `api.example.com:443` is
/// `api.example.com`.
pub(crate) fn name_of(address: &str) -> &str {
    let address = address.trim();
    // `dns:///cart:7070` and the like (gRPC targets).
    let address = address.rsplit_once('/').map_or(address, |(_, host)| host);
    let host = without_port(address);
    match kubernetes_service(host) {
        Some(service) => service,
        None => host,
    }
}

/// Whether the name is of a host beyond the cluster: it has a domain.
pub(crate) fn is_outside(name: &str) -> bool {
    name.contains('.') || name.contains(':')
}

/// `host:port` without the port; an IPv6 address stands in brackets where it has one.
pub(crate) fn without_port(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    }
}

/// The service of `service.namespace.svc` and `service.namespace.svc.cluster.local`, whatever the cluster's domain.
fn kubernetes_service(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    let service = labels.next()?;
    labels.next()?;
    (labels.next()? == "svc" && !service.is_empty()).then_some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reduced_to_names() {
        for (address, name) in [
            ("cart.shop.svc.cluster.local:8080", "cart"),
            ("cart.shop.svc", "cart"),
            ("cart:7070", "cart"),
            ("dns:///cart:7070", "cart"),
            ("api.example.com:443", "api.example.com"),
            ("10.0.0.7:8080", "10.0.0.7"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("cart", "cart"),
            (":80", ""),
            ("", ""),
        ] {
            assert_eq!(name_of(address), name, "{address}");
        }
        assert!(is_outside("api.example.com") && is_outside("10.0.0.7") && !is_outside("cart"));
    }
}
