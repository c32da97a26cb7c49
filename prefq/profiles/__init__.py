"""What a user's answers are worth to other programs: profiles, rankings and words."""
