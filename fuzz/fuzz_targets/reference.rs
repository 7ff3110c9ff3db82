#![no_main]

use std::{
    fmt::Debug,
    path::{Component, Path},
    str::FromStr,
};

use libfuzzer_sys::fuzz_target;
use registry_types::{Location, MediaType, Reference, RepositoryName, Tag, UploadId};

fuzz_target!(|text: &str| {
    gives_back_the_same::<RepositoryName>(text);
    gives_back_the_same::<Tag>(text);
    gives_back_the_same::<Reference>(text);
    gives_back_the_same::<UploadId>(text);
    gives_back_the_same::<Location>(text);
    if let Ok(location) = text.parse::<Location>() {
        let mut components = Path::new(location.as_str()).components();
        assert!(components.all(|component| matches!(component, Component::Normal(_))));
    }
    if let Ok(media_type) = text.parse::<MediaType>() {
        assert_eq!(media_type.as_str().parse(), Ok(media_type.clone()));
        assert_eq!(MediaType::verbatim(media_type.as_str()), Ok(media_type));
    }
});

fn gives_back_the_same<T: FromStr + ToString>(text: &str)
where
    T::Err: Debug,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}
