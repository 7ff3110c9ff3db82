use super::backend::OnServer;

crate::contract::contract_tests!(OnServer);
