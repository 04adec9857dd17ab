"""The paper's argument re-run on anyone's data: methods side by side (Table 3)."""
