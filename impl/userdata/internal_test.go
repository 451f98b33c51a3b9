package userdata

// ExportAtMost is Export with another maximum for the lists.
var ExportAtMost = export
