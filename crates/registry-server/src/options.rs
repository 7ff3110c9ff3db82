//! Options that may become more without breaking programs that set some of them.

/// Declares a struct of options: made by its default or a constructor, and by a setter for each field, which has the field's name
/// and documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! options {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $(#[$attribute])*
        #[non_exhaustive]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type,)* }

        impl $name {
            $(
                $(#[$field_attribute])*
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
