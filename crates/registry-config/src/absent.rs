//! Sections of the Go registry that are refused, since nothing of what they are for would happen without them.

use crate::field::Field;

pub(crate) fn refuse(root: &Field<'_>) {
    proxy(&root.get("proxy"));
    let middleware = root.get("middleware");
    for kind in ["registry", "repository"] {
        let field = middleware.get(kind);
        if field.items().iter().any(is_wanted) {
            // It may be what decides who may do what.
            field.problem("middleware is not in this version", "no such section");
        }
    }
}

/// An empty registry that takes pushes would serve where a mirror was asked for.
fn proxy(proxy: &Field<'_>) {
    if !proxy.is_set() {
        return;
    }
    let remote = proxy.get("remoteurl");
    if remote.is_set() {
        let expected = "no section `proxy`; pull-through caches come in a later version";
        remote.problem("a pull-through cache is not in this version", expected);
    }
}

fn is_wanted(item: &Field<'_>) -> bool {
    item.is_set() && (item.scalar().is_some() || !item.get("disabled").flag(false))
}
