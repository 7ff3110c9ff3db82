use registry_types::Quota;

use crate::field::Field;

/// The most quotas: each costs a look in every push that it holds for.
const QUOTAS_MAX: usize = 1000;

/// No prefix longer than a name.
const PREFIX_BYTES_MAX: usize = 255;

/// What fits the database's numbers.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Key `quotas[]`.
pub(crate) fn quotas(quotas: &Field<'_>) -> Vec<Quota> {
    let items = quotas.items();
    if items.len() > QUOTAS_MAX {
        quotas.problem(format!("has {} quotas", items.len()), format!("at most {QUOTAS_MAX}"));
    }
    let mut read: Vec<Quota> = Vec::new();
    for item in items.iter().take(QUOTAS_MAX) {
        let quota = quota(item);
        if read.iter().any(|other| other.prefix == quota.prefix) {
            let prefix = item.get("prefix");
            prefix.problem(format!("is {:?} once more", quota.prefix), "each prefix once");
        }
        read.push(quota);
    }
    read
}

/// `held` is as `bytes`, if the key is absent.
fn quota(quota: &Field<'_>) -> Quota {
    let (bytes, held, tags) = (quota.get("bytes"), quota.get("held"), quota.get("tags"));
    let size = |field: &Field<'_>| field.is_set().then(|| field.size(0, 0..=NUMBER_MAX));
    let bytes = size(&bytes);
    let prefix = |text: &str| is_prefix(text).then(|| text.to_owned());
    Quota {
        prefix: quota
            .get("prefix")
            .parse("the beginning of names of repositories, such as team/", prefix)
            .unwrap_or_default(),
        bytes_max: bytes,
        held_max: size(&held).or(bytes),
        tags_max: tags.is_set().then(|| tags.integer(0, 0..=NUMBER_MAX)),
    }
}

/// Whether a name can begin like this.
fn is_prefix(text: &str) -> bool {
    let is_of_names =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    text.len() <= PREFIX_BYTES_MAX
        && text.bytes().all(is_of_names)
        && text.as_bytes().first().is_none_or(u8::is_ascii_alphanumeric)
        && !text.contains("//")
}
