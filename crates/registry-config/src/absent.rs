//! Sections of the Go registry that are refused, since nothing of what they are for would happen without them.

use crate::field::Field;

pub(crate) fn refuse(root: &Field<'_>) {
    let middleware = root.get("middleware");
    for kind in ["registry", "repository"] {
        let field = middleware.get(kind);
        if field.items().iter().any(is_wanted) {
            // It may be what decides who may do what.
            field.problem("middleware is not in this version", "no such section");
        }
    }
}

fn is_wanted(item: &Field<'_>) -> bool {
    item.is_set() && (item.scalar().is_some() || !item.get("disabled").flag(false))
}
