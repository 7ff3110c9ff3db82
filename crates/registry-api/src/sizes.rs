//! About how much memory content takes once it is parsed.

use std::collections::BTreeMap;

use registry_types::{Descriptor, Manifest};

/// What a descriptor takes without its texts.
const DESCRIPTOR_BYTES: usize = 512;

/// What a text takes beside its characters: its place in a tree or a list, and what the allocator adds.
const TEXT_BYTES: usize = 64;

/// A manifest, without the bytes that it was parsed from.
pub(crate) fn of_manifest(manifest: &Manifest) -> usize {
    of_annotations(manifest.annotations()) + manifest.descriptors().map(of_descriptor).sum::<usize>()
}

/// A descriptor.
pub(crate) fn of_descriptor(descriptor: &Descriptor) -> usize {
    let texts = descriptor.urls.iter().chain(&descriptor.artifact_type).chain(&descriptor.data);
    DESCRIPTOR_BYTES
        + texts.map(|text| of_text(text)).sum::<usize>()
        + of_annotations(&descriptor.annotations)
}

fn of_annotations(annotations: &BTreeMap<String, String>) -> usize {
    annotations.iter().map(|(key, value)| of_text(key) + of_text(value)).sum()
}

fn of_text(text: &str) -> usize {
    TEXT_BYTES + text.len()
}
