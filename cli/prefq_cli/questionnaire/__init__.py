"""A fixed questionnaire on paper: its machine file, its sheet, and the way back from sheets to sessions."""
