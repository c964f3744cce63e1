"""ChairNav: drive to a chair in a furnished room."""
