#!/bin/sh
# Stands in for a program that the documentation calls, under its name: appends the name and the arguments to the file
# `$CALLS`. A field ends with the unit separator, a call with the record separator. See docs_commands.rs.
printf '%s\037' "${0##*/}" "$@" >>"$CALLS"
printf '\036' >>"$CALLS"
