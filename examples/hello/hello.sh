#!/bin/sh
echo Hallo
