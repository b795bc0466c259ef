"""Pictures of a report: inline SVG from matplotlib, coloured by the page, each in a wide and a narrow cut."""
