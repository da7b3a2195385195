//! Stub until the generated bindings land.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BuiltinOperator(pub i32);
impl BuiltinOperator {
    pub fn name(self) -> Option<&'static str> {
        None
    }
}
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltinOptions;
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltinOptions2;
